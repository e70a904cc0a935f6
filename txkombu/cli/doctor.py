"""C{txkombu doctor}: find out why a broker cannot be used, and what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

from ..connection import BrokerConnection
from ..entity import Queue
from ..exceptions import (
    AccessRefused,
    AuthenticationFailed,
    BrokerError,
    KombuError,
    NotFound,
    NotSupported,
    OperationTimeout,
    ResourceLocked,
    TransportNotAvailable,
)
from ..interfaces import Capability, ISession
from ..messaging import Consumer, Producer
from ..url.parameters import Parameters
from .command import DONE, FAILED, counted
from .findings import CheckFailed, Findings
from .network_checks import check_name, check_tcp, check_tls
from .options import BrokerOptions
from .streams import Streams

_VIRTUAL_HOST_CODES: Final = (402, 530)


class DoctorOptions(BrokerOptions):
    """Which broker."""

    synopsis = "[URL] [options]"
    longdesc = (
        "Checks, step by step, whether a broker can be used: name, TCP, TLS, login, "
        "virtual host, heartbeat, permissions.  The exit code is 1 if a check failed.  "
        "It declares a temporary queue, and leaves nothing behind."
    )
    log_level = "error"
    example = "doctor amqps://user@host/vhost --password-file F"

    def __init__(self) -> None:
        super().__init__()
        self._url: str | None = None

    def parseArgs(self, url: str | None = None) -> None:
        """
        Take the URL.

        @param url: in place of C{--broker}.
        """
        self._url = url

    def connection_or_none(self, url: str | None = None) -> BrokerConnection | None:
        """Make the connection to the URL that was given, whichever way."""
        return super().connection_or_none(url or self._url)


async def doctor(options: DoctorOptions, streams: Streams) -> int:
    """Check each of the brokers of the URL."""
    settings = options.connection.core.settings
    findings = Findings()
    for parameters in settings.alternates:
        if len(settings.alternates) > 1:
            await streams.write(f"{parameters.as_uri()}\n".encode())
        examination = _Examination(options.connection, parameters, findings)
        for what, check in examination.checks():
            try:
                await check()
            except CheckFailed as error:
                findings.fail(what, str(error))
            except (KombuError, OSError, ValueError) as error:
                findings.fail(what, f"{error}")
            await streams.write(findings.take_lines())
            if examination.is_over(findings):
                break
        await examination.close()
    if findings.failed:
        streams.tell(f"{counted(findings.failed, 'check')} failed")
        return FAILED
    return DONE


class _Examination:
    """The checks of one broker; each needs those before."""

    def __init__(
        self, connection: BrokerConnection, parameters: Parameters, findings: Findings
    ) -> None:
        self._settings = connection.core.settings
        self._parameters = parameters
        self._findings = findings
        self._failed_before = findings.failed
        self._connection: BrokerConnection | None = None
        self._session: Any = None

    def checks(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Return the names of the checks, and what makes them."""
        parameters, findings = self._parameters, self._findings
        reactor, tls = self._settings.clock, parameters.tls
        if parameters.scheme.local:
            return [("broker", self._local)]
        network: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("DNS", lambda: check_name(parameters, reactor, findings)),
            ("TCP", lambda: check_tcp(parameters, reactor, findings)),
        ]
        if tls is not None:
            network.append(
                ("TLS", lambda: check_tls(parameters, tls, reactor, findings))
            )
        return [
            *network,
            ("login", self._log_in),
            ("heartbeat", self._heartbeat),
            ("permissions", self._permissions),
            ("deprecated features", self._deprecated),
        ]

    def is_over(self, findings: Findings) -> bool:
        """Return whether a check failed, so that the next ones make no sense."""
        return findings.failed > self._failed_before

    async def close(self) -> None:
        """Close the connection to this broker."""
        if self._connection is not None:
            await self._connection.close()

    async def _local(self) -> None:
        url = self._parameters.as_uri()
        self._findings.ok(
            "broker", f"{url} is in the process: there is nothing to check"
        )

    # --- login ----------------------------------------------------------------

    async def _log_in(self) -> None:
        of = self._parameters
        login = await self._settings.login_at(of)
        self._connection = BrokerConnection(
            login.as_uri(include_password=True),
            reactor=self._settings.clock,
            wait_for_broker=False,
        )
        try:
            self._session = await self._connection.core.when_up()
        except AuthenticationFailed as error:
            self._refused(error)
            return
        except OperationTimeout as error:
            raise CheckFailed(f"{error}: is that the port of {of.transport}?") from None
        except TransportNotAvailable as error:
            raise CheckFailed(str(error)) from None
        self._logged_in()
        self._findings.ok("virtual host", f"{of.virtual_host!r} is there")
        session: ISession = self._session
        self._findings.ok("broker", f"{session.product} {session.version}".strip())

    def _logged_in(self) -> None:
        of = self._parameters
        how = "by its certificate" if of.auth_mechanism == "EXTERNAL" else "by password"
        self._findings.ok("login", f"user {of.userid!r} is known, {how}")

    def _refused(self, error: AuthenticationFailed) -> None:
        of, cause = self._parameters, error.__cause__
        if isinstance(cause, BrokerError) and _is_about_virtual_host(cause):
            self._logged_in()
            self._findings.fail(
                "virtual host",
                f"{of.virtual_host!r} is not there for user {of.userid!r} "
                f"({cause.text}): create it, or permit the user to use it",
            )
            return
        hint = "correct user and password"
        if of.userid == "guest":
            hint += "; RabbitMQ lets user guest log in only from its own machine"
        raise CheckFailed(f"{str(error).rstrip('.')}: {hint}")

    async def _heartbeat(self) -> None:
        seconds = getattr(self._session, "heartbeat", None)
        if seconds:
            self._findings.ok("heartbeat", f"every {seconds:g} s")
        elif seconds is not None:
            self._findings.warn(
                "heartbeat",
                "none, so a network that fails silently is noticed late: set heartbeat "
                "in the URL, and at the broker",
            )

    # --- what the user may do -------------------------------------------------

    async def _permissions(self) -> None:
        assert self._connection is not None
        if Capability.EXCLUSIVE_QUEUE not in self._session.capabilities:
            why = f"{self._parameters.transport} cannot declare a temporary queue"
            self._findings.ok("permissions", f"not checked, as {why}")
            return
        name = f"txkombu-doctor-{uuid4().hex}"
        done: list[str] = []
        doing = "look up"
        try:
            for doing, do in self._uses_of(name):
                await do()
                done.append(doing)
        except (AccessRefused, ResourceLocked) as error:
            self._findings.warn(
                "permissions",
                f"user {self._parameters.userid!r} may not {doing} a queue named "
                f"{name!r} ({error.text}): that is right if its permissions are only "
                "for other names",
            )
            return
        except NotSupported:
            pass
        self._findings.ok("permissions", f"may {', '.join(done)} queues")

    def _uses_of(self, name: str) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
        """Return what is done with queues, and what does it with a temporary one."""
        assert self._connection is not None
        queue = Queue(name, exclusive=True, durable=False)(self._connection)
        producer = Producer(self._connection.default_channel)
        return [
            ("look up", partial(self._look_up, name)),
            ("declare", queue.queue_declare),
            ("publish to", lambda: producer.publish("txkombu doctor", name)),
            ("read", lambda: queue.get(no_ack=True)),
            ("delete", queue.delete),
        ]

    async def _look_up(self, name: str) -> None:
        assert self._connection is not None
        with suppress(NotFound):
            await Queue(name)(self._connection).queue_declare(passive=True)

    async def _deprecated(self) -> None:
        """Try what RabbitMQ deprecates; the refusal ends the session, so it is last."""
        assert self._connection is not None
        if not self._session.capabilities >= frozenset(Capability):
            return
        refused = []
        try:
            if not await self._takes_transient_queues():
                refused.append(
                    "refuses transient queues that are not exclusive: declare durable"
                )
            if not await self._limits_channels():
                refused.append(
                    "has no prefetch for a whole channel: limit each consumer, without "
                    "apply_global"
                )
        except AccessRefused:
            return  # it was told before
        if refused:
            self._findings.warn(
                "deprecated features", f"the broker {', and '.join(refused)}"
            )
        else:
            self._findings.ok(
                "deprecated features",
                "transient queues and a prefetch for a whole channel are permitted",
            )

    async def _takes_transient_queues(self) -> bool:
        assert self._connection is not None
        name = f"txkombu-doctor-{uuid4().hex}"
        queue = Queue(name, durable=False, auto_delete=True, expires=10)
        try:
            await queue(self._connection).queue_declare()
            await queue(self._connection).delete()
        except AccessRefused:
            raise
        except BrokerError:
            return False
        return True

    async def _limits_channels(self) -> bool:
        """
        Return whether two consumers of a channel get one message together: RabbitMQ 4.3
        takes the limit, and lets each of them have one.
        """
        assert self._connection is not None
        channel = await self._connection.channel()
        name = f"txkombu-doctor-{uuid4().hex}"
        queue = Queue(name, exclusive=True, durable=False)
        try:
            await channel.basic_qos(1)
            await queue(channel).queue_declare()
            producer = Producer(channel)
            for _ in range(2):
                await producer.publish("txkombu doctor", name)
            consumers = [Consumer(channel, queue, auto_declare=False) for _ in range(2)]
            for consumer in consumers:
                await consumer.consume()
            left = await queue(channel).queue_declare(passive=True)
            for consumer in consumers:
                await consumer.close()
            await queue(channel).delete()
        except AccessRefused:
            raise
        except BrokerError:
            return False
        return left.message_count == 1


def _is_about_virtual_host(error: BrokerError) -> bool:
    """Return whether a virtual host was refused; over STOMP only the text tells."""
    told = "virtual host" in error.text.lower()
    return told or error.code in _VIRTUAL_HOST_CODES
