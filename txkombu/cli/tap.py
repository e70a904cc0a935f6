"""
C{twistd kombu} and C{twist kombu}: options, and the service they ask for.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.application.app import ServerOptions
from twisted.python import usage

from .._util.validation import check_seconds, shown_or_kind
from ..connection import BrokerConnection
from ..service import ConsumerFactory, ConsumerService
from ..service.consumer_service import SHUTDOWN_TIMEOUT
from .consumer_loader import (
    ConsumerNotFound,
    consumer_named,
    forget_working_directory,
)
from .options import CommandOptions


class Options(CommandOptions):
    """
    What to consume, and from where.

    @ivar connection: to the broker; nothing has been sent yet.
    @ivar consumers: what makes the consumers.
    @ivar shutdown_timeout: seconds.
    """

    synopsis = "--broker URL --consumer package.module:Name [options]"
    longdesc = (
        "Consumes from the queues of the named consumers until it is stopped, and "
        "connects again whenever the connection is lost.  Modules are looked for in "
        "the current directory first.  The URL can be read by everyone who may list "
        "this machine's processes, its password included."
    )
    optParameters = (
        (
            "broker",
            "b",
            None,
            "URL of the broker, as amqp://user:password@host:5672/vhost, stomp://host "
            "or memory://name; or several with ';' between them, tried in turn.  "
            "Required.",
        ),
        (
            "shutdown-timeout",
            None,
            f"{SHUTDOWN_TIMEOUT:g}",
            "Seconds that handlers at work may take to finish when it is stopped.",
        ),
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        self._names: list[str] = []
        self.connection: BrokerConnection
        self.consumers: list[ConsumerFactory] = []
        self.shutdown_timeout = SHUTDOWN_TIMEOUT

    def opt_consumer(self, name: str) -> None:
        self._names.append(name)

    # Twisted shows it as it is, line breaks and all.
    opt_consumer.__doc__ = (
        "What to consume with, as package.module:Name: a subclass of "
        "txkombu.Consumer, or a function that takes a channel and returns a "
        "consumer.  Required; may be given more than once."
    )

    opt_c = opt_consumer

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Read the command line.

        @raise UsageError: it is wrong.  Under twistd it is C{SystemExit}: before
            Twisted 26 twistd told of a usage error and exited with 0.
        """
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        except usage.UsageError as error:
            if isinstance(getattr(self, "parent", None), ServerOptions):
                raise SystemExit(f"twistd kombu: {error}") from None
            raise

    def postOptions(self) -> None:
        """Check all, and import the consumers."""
        self.connection = self._connection()
        self.shutdown_timeout = self._seconds()
        if not self._names:
            raise usage.UsageError("no --consumer given, such as feeds:FeedConsumer")
        try:
            self.consumers = [consumer_named(name) for name in self._names]
        except ConsumerNotFound as error:
            raise usage.UsageError(f"--consumer: {error}") from error

    def _connection(self) -> BrokerConnection:
        if not self["broker"]:
            raise usage.UsageError("no --broker given, such as amqp://user@host/vhost")
        try:
            return BrokerConnection(self["broker"])
        except ValueError as error:
            raise usage.UsageError(f"--broker: {error}") from None

    def _seconds(self) -> float:
        given = self["shutdown-timeout"]
        try:
            return check_seconds("it", float(given))
        except ValueError:
            raise usage.UsageError(
                f"--shutdown-timeout: {shown_or_kind(given)} is no number of seconds"
            ) from None


class PluginService(ConsumerService):
    """A service that ends twistd if a consumer's own code asks for the end."""

    def startService(self) -> None:
        """
        Begin as a L{ConsumerService} does.

        @raise SystemExit: making a consumer raised it.
        @raise KeyboardInterrupt: likewise.
        """
        self._log = ConsumerService._log  # by the name that users know
        super().startService()
        cause = None if self.halted is None else self.halted.__cause__
        if isinstance(cause, SystemExit | KeyboardInterrupt):
            raise cause


def makeService(options: Options) -> ConsumerService:
    """Make the service that the options ask for; called by twistd."""
    return service_of(options, PluginService)


def service_of(
    options: Options, kind: type[ConsumerService] = ConsumerService
) -> ConsumerService:
    """Make the service that the options ask for, when all is imported."""
    forget_working_directory()
    return kind(
        options.connection,
        options.consumers,
        shutdown_timeout=options.shutdown_timeout,
    )
