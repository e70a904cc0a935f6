"""
The arguments of C{BrokerConnection}, and what its errors show of them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.support.fakes import FakeSession, FakeTransport
from txkombu import BrokerConnection, Consumer, Producer, Queue
from txkombu.exceptions import InvalidURL
from txkombu.interfaces import IRenewableSession
from txkombu.service import ConsumerService
from txkombu.url import TLSOptions

PASSWORD = "s3cr3t"
URL = f"amqp://ann:{PASSWORD}@broker.example/vhost"
BROKEN = f"{PASSWORD}\ud800"
ANYTHING: tuple[Any, ...] = (URL, URL.encode(), [URL], {"url": URL}, BROKEN)


class HiddenTests(SynchronousTestCase):
    """No error shows an argument that may contain a password."""

    def assert_hidden(self, error: BaseException | None) -> None:
        """Check that neither the error nor its causes show it."""
        while error is not None:
            seen = f"{error!r} {error} {error.args!r} {vars(error)!r}"
            self.assertNotIn(PASSWORD, seen)
            error = error.__cause__ or error.__context__

    def test_any_argument(self) -> None:
        """No error quotes a wrong value, whatever argument it is for."""
        for name in (
            "transport",
            "port",
            "heartbeat",
            "connect_timeout",
            "operation_timeout",
            "max_message_size",
            "tls",
        ):
            for given in ANYTHING:
                with self.assertRaises((TypeError, ValueError)) as caught:
                    BrokerConnection("broker.example", **{name: given})
                self.assert_hidden(caught.exception)

    def test_texts(self) -> None:
        """No error quotes a wrong text either: it may be meant for another argument."""
        for name in ("hostname", "userid", "password", "virtual_host", "name"):
            for given in (URL.encode(), {"url": URL}, 10**9, [URL.encode()]):
                with self.assertRaises((TypeError, ValueError)) as caught:
                    wrong: dict[str, Any] = {name: given}
                    BrokerConnection(**wrong)
                self.assert_hidden(caught.exception)
        for arguments in (
            {"virtual_host": BROKEN},
            {"virtual_host": PASSWORD * 50},
            {"hostname": f"{PASSWORD}@broker.example"},
            {"hostname": f"amqp://ann:{BROKEN}@broker.example"},
            {"hostname": URL, "transport": f"amqp://{PASSWORD}@broker.example"},
            {"hostname": URL, "transport": "stomp"},
            {"hostname": "broker.example", "port": 7312345},
        ):
            with self.assertRaises((TypeError, ValueError)) as caught:
                BrokerConnection(**arguments)
            self.assert_hidden(caught.exception)
            self.assertNotIn("7312345", str(caught.exception))

    def test_where_a_channel_is_needed(self) -> None:
        """No error quotes a URL that is given instead of a connection or a consumer."""
        wrong: Any = URL
        for make in (
            lambda: Producer(wrong),
            lambda: Consumer(wrong, Queue("q")),
            lambda: Queue("q")(wrong),
            lambda: ConsumerService("memory://", [wrong]),
            lambda: ConsumerService("memory://", [wrong.encode()]),
        ):
            with self.assertRaises(TypeError) as caught:
                make()
            self.assert_hidden(caught.exception)

    def test_passphrase(self) -> None:
        """TLSOptions does not show the passphrase of the key."""
        tls = TLSOptions(certfile="/c", password=PASSWORD)
        connection = BrokerConnection("amqps://broker.example", tls=tls)
        shown = f"{connection!r} {connection.as_uri()} {connection.info()!r}"
        self.assertNotIn(PASSWORD, shown)


class MissingTests(SynchronousTestCase):
    """A host or URL that is missing in a setting."""

    def test_said(self) -> None:
        """The error says that it is missing; it does not mean this machine."""
        kinds: dict[Any, type[Exception]] = {None: TypeError, "": InvalidURL}
        for given, kind in kinds.items():
            for make in (
                BrokerConnection,
                lambda where: ConsumerService(where, [Consumer]),
            ):
                with self.assertRaises(kind) as caught:
                    make(given)
                self.assertIn("a host or URL is missing", str(caught.exception))
            with self.assertRaises(kind):
                BrokerConnection(given, transport="amqps")
        with self.assertRaises(InvalidURL):
            BrokerConnection([])

    def test_not_needed(self) -> None:
        """The host may be omitted, and is not needed in memory or with an endpoint."""
        self.assertEqual(BrokerConnection().info()["hostname"], "localhost")
        for given in (None, ""):
            where: Any = given
            BrokerConnection(where, transport="memory")
            BrokerConnection(where, transport=FakeTransport())
            endpoint: Any = object()
            BrokerConnection(where, endpoint=endpoint)


@implementer(IRenewableSession)
class _Narrow(FakeSession):
    """A session that accepts only short secrets."""

    def update_secret(self, secret: str, reason: str) -> Deferred[None]:
        if len(secret) > 100:
            raise ValueError("too large")
        return fail(OSError("lost"))


class SecretTests(SynchronousTestCase):
    """Secrets that cannot be sent."""

    def setUp(self) -> None:
        self.transport = FakeTransport()
        self.clock = Clock()
        self.connection = self.connection_with("old")

    def connection_with(self, password: Any) -> BrokerConnection:
        """Return a connection with some password, or with what asks for it."""
        return BrokerConnection(
            "memory://one",
            password=password,
            transport=self.transport,
            reactor=self.clock,
        )

    def password(self) -> str:
        """Return the password of the next login."""
        return self.connection.core.settings.alternates[0].password

    def test_to_no_broker(self) -> None:
        """A secret that no broker can be told is refused, not shown, and not kept."""
        for secret in (BROKEN, f"{PASSWORD}\0"):
            with self.assertRaises(ValueError) as caught:
                self.connection.update_secret(secret)
            self.assertNotIn(PASSWORD, f"{caught.exception!r}")
            self.assertEqual(self.password(), "old")
        for reason in (BROKEN, PASSWORD * 50):
            with self.assertRaises(ValueError) as caught:
                self.connection.update_secret("new", reason)
            self.assertNotIn(PASSWORD, f"{caught.exception!r}")
            self.assertEqual(self.password(), "old")

    def test_too_large(self) -> None:
        """A secret that is too large for the session is not kept either."""
        self.connection.connect()
        self.transport.attempts[-1].succeed(_Narrow())
        failed = self.connection.update_secret("x" * 101)
        self.failureResultOf(failed, ValueError)
        self.assertEqual(self.password(), "old")
        self.failureResultOf(self.connection.update_secret("new"), OSError)
        self.assertEqual(self.password(), "new")

    def test_asked_for(self) -> None:
        """After one that is too large, the password is asked for as before."""
        password: Deferred[str] = Deferred()
        password.callback("asked")
        for given in (lambda: "asked", password):
            connection = self.connection_with(given)
            connection.connect()
            self.transport.attempts[-1].succeed(_Narrow())
            failed = connection.update_secret("x" * 101)
            self.failureResultOf(failed, ValueError)
            connection.drop()
            self.clock.advance(1)
            for each in (connection, connection.clone()):
                each.connect()
                login = self.transport.attempts[-1].parameters
                self.assertEqual(login.password, "asked")

    def test_several(self) -> None:
        """Of several secrets, the last that is not too large is used."""
        connection = self.connection_with(lambda: "asked")
        connecting = connection.connect()
        large = [connection.update_secret(letter * 101) for letter in "xy"]
        self.transport.attempts[-1].succeed(_Narrow())
        self.successResultOf(connecting)
        for each in large:
            self.failureResultOf(each, ValueError)
        connection.drop()
        self.clock.advance(1)
        self.assertEqual(self.transport.attempts[-1].parameters.password, "asked")
        updates = [connection.update_secret(new) for new in ("new", "z" * 101)]
        self.transport.attempts[-1].succeed(_Narrow())
        self.failureResultOf(updates[0], OSError)
        self.failureResultOf(updates[1], ValueError)
        connection.drop()
        self.clock.advance(2)
        self.assertEqual(self.transport.attempts[-1].parameters.password, "new")
