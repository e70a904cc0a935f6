"""
ERROR frames as errors, with the words of real brokers.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import (
    AccessRefused,
    AuthenticationFailed,
    BrokerError,
    ConnectError,
    ConnectionForced,
    ConsumerCancelled,
    ContentTooLarge,
    InternalError,
    NotFound,
    PreconditionFailed,
    ResourceError,
    ResourceLocked,
)
from txkombu.transport.stomp.wire.errors import (
    cancellation_of,
    error_of,
    is_provisional,
    login_error,
)
from txkombu.transport.stomp.wire.parser import Frame
from txkombu.url import Parameters

TRACE = (
    "\n\tat org.apache.activemq.transport.stomp.ProtocolConverter.onStompAck"
    "(ProtocolConverter.java:477)\n"
)
PROTOCOL = "org.apache.activemq.transport.stomp.ProtocolException: "


def error(message: str, body: str = "", **headers: str) -> Frame:
    """An ERROR."""
    return Frame("ERROR", {"message": message, **headers}, body.encode())


RABBITMQ: list[tuple[str, str, type[BrokerError], int, str]] = [
    (
        "not_found",
        "NOT_FOUND - no exchange 'nonesuch' in vhost '/'",
        NotFound,
        404,
        "NOT_FOUND - no exchange 'nonesuch' in vhost '/'",
    ),
    (
        "access_refused",
        "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'ann'",
        AccessRefused,
        403,
        "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'ann'",
    ),
    ("precondition_failed", "", PreconditionFailed, 406, "precondition_failed"),
    ("resource_locked", "RESOURCE_LOCKED - q", ResourceLocked, 405, "RESOURCE_LOCKED"),
    ("internal_error", "why", InternalError, 541, "why"),
    (
        "Bad CONNECT",
        "Access refused for user 'ann'\n",
        AccessRefused,
        403,
        "Bad CONNECT: Access refused for user 'ann'",
    ),
    (
        "Unknown destination",
        "'/foo/x' is not a valid destination.\nValid are: /queue.\n",
        BrokerError,
        0,
        "Unknown destination: '/foo/x' is not a valid destination. Valid are: /queue.",
    ),
    (
        "AMQP channel died",
        "Reason: {shutdown,\n            {connection_closing,\n"
        "                {server_initiated_close,541,\n"
        '                    "Feature `transient_nonexcl_queues` is deprecated.\\n"\n'
        '                    "Not \\"now\\"."}}}\n',
        InternalError,
        541,
        'Feature `transient_nonexcl_queues` is deprecated. Not "now".',
    ),
    (
        "AMQP channel died",
        'Reason: {shutdown,{server_initiated_close,506,<<"out of it">>}}\n',
        ResourceError,
        506,
        "out of it",
    ),
    (
        "AMQP channel died",
        "Reason: killed\n",
        BrokerError,
        0,
        "AMQP channel died: Reason: killed",
    ),
    ("Processing error", "", BrokerError, 0, "Processing error"),
]
ACTIVEMQ: list[tuple[str, str, type[BrokerError], int]] = [
    (
        "User stranger is not authorized to write to: queue://q",
        "User stranger is not authorized to write to: queue://q",
        AccessRefused,
        403,
    ),
    (
        "User name [ann] or password is invalid.",
        "User name [ann] or password is invalid.",
        AccessRefused,
        403,
    ),
    (
        "temp-queue://ID:foo-1",
        "org.apache.activemq.DestinationDoesNotExistException: The destination "
        f"temp-queue://ID:foo-1 does not exist.{TRACE}",
        NotFound,
        404,
    ),
    ("no", f"javax.jms.InvalidDestinationException: no{TRACE}", NotFound, 404),
    ("no", f"java.lang.SecurityException: no{TRACE}", AccessRefused, 403),
    (
        "The maximum data length was exceeded",
        f"{PROTOCOL}The maximum data length was exceeded{TRACE}",
        ContentTooLarge,
        311,
    ),
    ("no", f"{PROTOCOL}Unexpected ACK{TRACE}", BrokerError, 0),
    (
        "Broker txkombu is being stopped",
        "org.apache.activemq.broker.BrokerStoppedException: Broker txkombu is being "
        f"stopped{TRACE}",
        ConnectionForced,
        320,
    ),
    (
        "no",
        f"org.apache.activemq.transport.InactivityIOException: no{TRACE}",
        ConnectionForced,
        320,
    ),
]


class ErrorTests(SynchronousTestCase):
    """Errors by what brokers say."""

    def test_rabbitmq(self) -> None:
        """The reply code of AMQP is in the header, its text in the body."""
        for message, body, kind, code, text in RABBITMQ:
            found = error_of(error(message, body))
            self.assertIs(type(found), kind, message)
            self.assertEqual(found.code, code)
            self.assertIn(text, found.text)

    def test_activemq(self) -> None:
        """The text is in the header, the kind is the exception of Java."""
        for message, body, kind, code in ACTIVEMQ:
            found = error_of(error(message, body))
            self.assertIs(type(found), kind, message)
            self.assertEqual((found.code, found.text), (code, message))

    def test_no_stack_trace(self) -> None:
        """No stack trace is ever shown, without a message neither."""
        for message, body, *_ in ACTIVEMQ:
            for each in (message, ""):
                found = error_of(error(each, body))
                self.assertNotIn("ProtocolConverter", str(found))
        self.assertEqual(
            error_of(error("", f"{PROTOCOL}x{TRACE}")).text, "ProtocolException"
        )

    def test_about(self) -> None:
        """What it is about is told by whoever asked."""
        found = error_of(error("not_found", "NOT_FOUND - none"), "feed")
        self.assertEqual(found.about, "feed")
        self.assertIn("about 'feed'", str(found))

    def test_no_code(self) -> None:
        """An error without a code shows none."""
        self.assertEqual(str(error_of(error("Bad command", "FOO"))), "Bad command: FOO")

    def test_empty(self) -> None:
        """An ERROR that says nothing has a text too."""
        self.assertEqual(error_of(Frame("ERROR", {})).text, "no reason")

    def test_shown_in_bounds(self) -> None:
        """A text has one line and a limit, whatever bytes it was made of."""
        found = error_of(Frame("ERROR", {"message": "a\udcff\n b"}, b"\xff\n" * 9999))
        self.assertTrue(found.text.startswith("a? b: \ufffd \ufffd"))
        self.assertLess(len(found.text), 600)
        found.text.encode()


class LoginErrorTests(SynchronousTestCase):
    """An ERROR that answers a login."""

    parameters = Parameters("stomp", userid="ann", password="s3cr3t", virtual_host="v")

    def test_refused(self) -> None:
        """A broker that does not let us in is told from one that will not do."""
        for frame in (
            error("Bad CONNECT", "Access refused for user 'ann'\n"),
            error("Bad CONNECT", "Virtual host 'v' access denied"),
            error("User name [ann] or password is invalid."),
            error("no", f"java.lang.SecurityException: no{TRACE}"),
        ):
            found = login_error(frame, self.parameters, "the broker")
            self.assertIsInstance(found, AuthenticationFailed)
            self.assertIn(
                "the broker refuses user 'ann' for virtual host 'v': 403", str(found)
            )
            self.assertIsInstance(found.__cause__, AccessRefused)
            self.assertNotIn("s3cr3t", str(found))

    def test_others(self) -> None:
        """Any other ERROR is a connection that did not come about."""
        frame = error("Version mismatch", "Supported versions are 1.0,1.1\n")
        found = login_error(frame, self.parameters, "the broker")
        self.assertIs(type(found), ConnectError)
        self.assertIn("Supported versions are 1.0,1.1", str(found))
        self.assertIsInstance(found.__cause__, BrokerError)


class CancellationTests(SynchronousTestCase):
    """The one ERROR that ends no more than a subscription."""

    def test_cancelled(self) -> None:
        """It names the subscription, and says why."""
        frame = error("Server cancelled subscription", "gone\n", subscription="s")
        found = cancellation_of(frame)
        assert found is not None
        self.assertEqual(found[0], "s")
        self.assertIsInstance(found[1], ConsumerCancelled)
        self.assertEqual(str(found[1]), "gone")

    def test_without_reason(self) -> None:
        """Without a reason it says at least what it is."""
        found = cancellation_of(error("Server cancelled subscription"))
        assert found is not None
        self.assertEqual(
            (found[0], str(found[1])), ("", "Server cancelled subscription")
        )

    def test_any_other(self) -> None:
        """Any other ERROR is none, whatever it names."""
        self.assertIsNone(cancellation_of(error("not_found", subscription="s")))


class ProvisionalTests(SynchronousTestCase):
    """An ERROR that the reason may follow."""

    def test_provisional(self) -> None:
        """There is one such, and only one."""
        self.assertTrue(is_provisional(error("Processing error", "why")))
        self.assertFalse(is_provisional(error("not_found", "Processing error")))
