"""C{twistd kombu} and C{twist kombu}: their options and service."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import ClassVar

from twisted.application.app import ServerOptions
from twisted.python import usage

from .._util.validation import check_seconds, shown_or_kind
from ..configuration.consumer_loader import (
    ConsumerNotFound,
    consumer_named,
    forget_working_directory,
)
from ..service import ConsumerFactory, ConsumerService
from ..service.broker_service import SHUTDOWN_TIMEOUT
from .options import BrokerOptions, OptionTable


class Options(BrokerOptions):
    """
    The options of the service.

    @ivar consumers: the classes or functions that make consumers.
    @ivar shutdown_timeout: seconds that running handlers have to finish.
    """

    synopsis = "--consumer package.module:Name [options]"
    longdesc = (
        "Runs the named consumers until it is stopped, and reconnects whenever the "
        "connection is lost.  Modules are searched in the current directory first.  "
        "The URL is amqp://user@host:5672/vhost, stomp://host or memory://name, or "
        "several with ';' between them, tried in turn.  Everybody who may list this "
        "machine's processes can read a password in it."
    )
    example = "serve -b amqp://user@host/vhost --password-file F -c feeds:Feed"
    optParameters: ClassVar[OptionTable] = (
        (
            "shutdown-timeout",
            None,
            f"{SHUTDOWN_TIMEOUT:g}",
            "Seconds that running handlers have to finish when it is stopped.",
        ),
    )

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self.consumers: list[ConsumerFactory] = []
        self.shutdown_timeout = SHUTDOWN_TIMEOUT

    def opt_consumer(self, name: str) -> None:
        self._names.append(name)

    # Twisted shows this text with its line breaks.
    opt_consumer.__doc__ = (
        "A consumer, as package.module:Name: a subclass of txkombu.Consumer, a "
        "handler with @consumer(Queue(...)) above it, or a function that takes a "
        "channel and returns a consumer.  Required; may be given more than once."
    )

    opt_c = opt_consumer

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
        super().postOptions()
        seconds = self["shutdown-timeout"]
        try:
            self.shutdown_timeout = check_seconds("it", float(seconds))
        except ValueError:
            raise usage.UsageError(
                f"--shutdown-timeout: {shown_or_kind(seconds)} is no number of seconds"
            ) from None
        if not self._names:
            raise usage.UsageError("no --consumer given, such as feeds:FeedConsumer")
        try:
            self.consumers = [consumer_named(name) for name in self._names]
        except ConsumerNotFound as error:
            raise usage.UsageError(f"--consumer: {error}") from error


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


def makeService(options: Options) -> ConsumerService:
    """Make the service of the options, for twistd."""
    return service_of(options, PluginService)


def service_of(
    options: Options, kind: type[ProgramService] = ProgramService
) -> ProgramService:
    """Make the service of the options, whose modules have been imported."""
    forget_working_directory()
    return kind(
        options.connection,
        options.consumers,
        shutdown_timeout=options.shutdown_timeout,
    )
