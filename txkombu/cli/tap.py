"""C{twistd kombu} and C{twist kombu}: their options and service."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import ClassVar, Final, NoReturn

from twisted.application.app import ServerOptions
from twisted.python import usage

from .._util.validation import check_seconds, shown_or_kind
from ..configuration import Plan
from ..configuration.consumer_loader import (
    ConsumerNotFound,
    consumer_named,
    forget_working_directory,
)
from ..configuration.service_file import LogSection
from ..service import ConsumerFactory, ConsumerService, PublisherService
from ..service.broker_service import SHUTDOWN_TIMEOUT
from ..service.connection_names import name_connection
from ..service.handlers import with_publisher
from .companions import Together, companions_of, endpoint_given
from .options import BrokerOptions, OptionTable

CONFIG_VARIABLE: Final = "TXKOMBU_CONFIG"
"""The environment variable with the path of the configuration file."""


class Options(BrokerOptions):
    """
    The options of the service.

    @ivar consumers: the classes or functions that make consumers.
    @ivar shutdown_timeout: seconds that running handlers have to finish.
    @ivar publisher: what handlers publish with, or None.
    @ivar log: what is logged.
    @ivar http: the endpoint of health and metrics, or None.
    """

    synopsis = "--consumer NAME | --config FILE [options]"
    longdesc = (
        "Runs the named consumers, or those of a configuration file, until it is "
        "stopped.  Modules are searched in the current directory first.  "
        "The URL is amqp://user@host:5672/vhost, stomp://host or memory://name, or "
        "several with ';' between them, tried in turn.  Everybody who may list this "
        "machine's processes can read a password in it."
    )
    example = "serve -b amqp://user@host/vhost --password-file F -c feeds:Feed"
    optParameters: ClassVar[OptionTable] = (
        (
            "config",
            None,
            None,
            f"A configuration file; default ${CONFIG_VARIABLE}; options override it.",
        ),
        (
            "shutdown-timeout",
            None,
            None,
            f"Seconds for running handlers to finish; default {SHUTDOWN_TIMEOUT:g}.",
        ),
        (
            "http",
            None,
            None,
            "Endpoint that tells health and metrics, as tcp:8080:interface=127.0.0.1.",
        ),
    )
    optFlags: ClassVar[OptionTable] = (
        ("check", None, "Check the configuration file, and exit."),
    )

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self.consumers: list[ConsumerFactory] = []
        self.shutdown_timeout = SHUTDOWN_TIMEOUT
        self.publisher: PublisherService | None = None
        self.log = LogSection()
        self.http: str | None = None

    @property
    def app(self) -> str:
        """The name of the application: the package or module of its first consumer."""
        first = self._names[0] if self._names else "txkombu"
        return first.partition(":")[0].partition(".")[0]

    def opt_consumer(self, name: str) -> None:
        self._names.append(name)

    # Twisted shows this text with its line breaks.
    opt_consumer.__doc__ = (
        "A Consumer class, a handler with @consumer(Queue(...)), or a function that "
        "makes a consumer, as package.module:Name; may be given again."
    )

    opt_c = opt_consumer

    def getUsage(self, width: int | None = None) -> str:
        """Return the text of C{--help}."""
        text = super().getUsage(width)
        if isinstance(getattr(self, "parent", None), ServerOptions):
            return text.replace("txkombu serve", "twistd -n kombu")
        return text

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the command line.

        @raise UsageError: it is wrong; under twistd C{SystemExit}, as before Twisted 26
            twistd exited with 0 after a usage error.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            if isinstance(getattr(self, "parent", None), ServerOptions):
                raise SystemExit(f"twistd kombu: {error}") from None
            raise

    def postOptions(self) -> None:
        """Check the options, and import the consumers."""
        file = self["config"] or os.environ.get(CONFIG_VARIABLE)
        if file:
            self._follow(self.plan_of(file))
        else:
            super().postOptions()
        if self["shutdown-timeout"] is not None:
            self.shutdown_timeout = _seconds(self["shutdown-timeout"])
        if self._names:
            self.consumers = self._named_consumers()
        if self["http"] is None:
            self.http = endpoint_given(self.http, f"{file}: http")
        else:
            self.http = endpoint_given(self["http"])
        if not self.consumers:
            raise usage.UsageError("no --consumer given, such as feeds:FeedConsumer")
        if self["check"]:
            self._tell_checked(file)

    def _follow(self, plan: Plan) -> None:
        self.use(plan.connection)
        self.consumers = plan.consumers
        self.publisher = plan.publisher
        self.shutdown_timeout = plan.shutdown_timeout
        self.log = plan.log
        self.http = plan.http

    def _named_consumers(self) -> list[ConsumerFactory]:
        try:
            found = [consumer_named(name) for name in self._names]
            for each in found:
                with_publisher(each, self.publisher)  # refuses what lacks one
        except (ConsumerNotFound, TypeError) as error:
            raise usage.UsageError(f"--consumer: {error}") from error
        return found

    def _tell_checked(self, file: str | None) -> NoReturn:
        if not file:
            raise usage.UsageError("--check is for a configuration file: give --config")
        count = len(self.consumers)
        print(f"{file} is right: {count} consumer{'' if count == 1 else 's'}")
        raise SystemExit(0)


def _seconds(text: str) -> float:
    try:
        return check_seconds("it", float(text))
    except ValueError:
        raise usage.UsageError(
            f"--shutdown-timeout: {shown_or_kind(text)} is no number of seconds"
        ) from None


class ProgramService(ConsumerService):
    """The service of a process that has nothing else to do."""

    def startService(self) -> None:
        """Begin to connect and to consume."""
        super().startService()
        self.when_started().addCallbacks(_freeze_heap, lambda failure: None)


def _freeze_heap(_: None) -> None:
    """
    Spare what the program has by now from further garbage collections, as it needs that
    until its end.
    """
    gc.collect()
    gc.freeze()


class PluginService(ProgramService):
    """A service that ends twistd if making a consumer asks for that."""

    def startService(self) -> None:
        """
        Begin to connect and to consume.

        @raise SystemExit: making a consumer raised it.
        @raise KeyboardInterrupt: making a consumer raised it.
        """
        super().startService()
        cause = None if self.halted is None else self.halted.__cause__
        if isinstance(cause, SystemExit | KeyboardInterrupt):
            raise cause


def makeService(options: Options) -> ConsumerService | Together:
    """Make the service of the options, for twistd."""
    service = service_of(options, PluginService)
    companions = companions_of(service, options.http)
    return Together(service, companions) if companions else service


def service_of(
    options: Options, kind: type[ProgramService] = ProgramService
) -> ProgramService:
    """Make the service of the options, whose modules have been imported."""
    forget_working_directory()
    return kind(
        name_connection(options.connection, "consumers", options.app),
        options.consumers,
        shutdown_timeout=options.shutdown_timeout,
        publisher=options.publisher,
    )
