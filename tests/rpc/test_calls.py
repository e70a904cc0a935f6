"""
Request and reply, on the memory broker under a Clock.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.fakes import Call, FakeSession, FakeTransport, delivery
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.exceptions import (
    BackpressureError,
    ChannelClosed,
    ConnectError,
    ContentDisallowed,
    NotBoundError,
    NotFound,
    NotSentInTime,
    Outcome,
    OutcomeUnknown,
    OutcomeUnknownInTime,
    PreconditionFailed,
    RemoteError,
    Unroutable,
)
from txkombu.interfaces import Capability, QueueDeclareOk
from txkombu.policy import Reject, Requeue
from txkombu.rpc import RPCClient, RPCServer
from txkombu.testing import BrokerTestCase

JOBS = Queue("jobs")
DIRECT = "amq.rabbitmq.reply-to"


class RPCTestCase(BrokerTestCase):
    """A client and, if a test wants it, a server, each on its own connection."""

    def setUp(self) -> None:
        super().setUp()
        self.client = RPCClient(self.connection)
        self.handled: list[Any] = []
        self.gates: list[Deferred[Any]] = []
        self.serving = self.connect()

    def tearDown(self) -> None:
        for gate in self.gates:
            if not gate.called:
                gate.callback(None)
        super().tearDown()

    def serve(self, handler: Any = None, **options: Any) -> RPCServer:
        """Start a server; by default it returns twice what it gets."""
        server = RPCServer(self.serving, JOBS, handler or self.double, **options)
        self.result_of(server.consume())
        return server

    def double(self, body: Any, message: Message) -> object:
        """Note the request, and reply."""
        self.handled.append(body)
        return body * 2

    def serve_when_told(self) -> list[Deferred[Any]]:
        """Serve with a handler that replies when the test fires its Deferred."""

        def handle(body: Any, message: Message) -> Deferred[Any]:
            self.handled.append(body)
            self.gates.append(Deferred())
            return self.gates[-1]

        self.serve(handle)
        return self.gates

    def begin(self, body: object = 1, **options: Any) -> Deferred[Any]:
        """Begin a call."""
        calling = self.client.call("jobs", body, **options)
        self.flush()
        return calling

    def wait(self, seconds: float) -> None:
        """Let time pass, and all happen that happens then."""
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            self.flush()

    def requests(self) -> list[Any]:
        """Return what was published to the server's queue."""
        return [each for each in self.published if each.routing_key == "jobs"]


class CallTests(RPCTestCase):
    """A call and its reply."""

    def test_reply(self) -> None:
        """A call fires with the result of the handler."""
        self.serve()
        self.assertEqual(self.result_of(self.client.call("jobs", 21)), 42)
        [request] = self.requests()
        self.assertTrue(request.properties["reply_to"].startswith(DIRECT))
        self.assertEqual(request.properties["expiration"], "30000")
        self.assertEqual(self.broker.waiting_in("jobs"), 0)

    def test_kinds_of_results(self) -> None:
        """The result may be a Deferred or a coroutine, None and bytes, too."""

        async def later(body: Any, message: Message) -> object:
            return await succeed([body])

        for handler, result in (
            (lambda body, message: succeed({"n": body}), {"n": 1}),
            (later, [1]),
            (lambda body, message: None, None),
            (lambda body, message: b"\xff", b"\xff"),
        ):
            server = self.serve(handler)
            self.assertEqual(self.result_of(self.client.call("jobs", 1)), result)
            self.result_of(server.close())

    def test_out_of_order(self) -> None:
        """Replies find their calls in whatever order they arrive."""
        gates = self.serve_when_told()
        calls = [self.begin(number) for number in range(3)]
        for number in (1, 2, 0):
            gates[number].callback(f"reply {number}")
        self.flush()
        results = [self.successResultOf(call) for call in calls]
        self.assertEqual(results, ["reply 0", "reply 1", "reply 2"])

    def test_started_once(self) -> None:
        """Calls made at once share one consumer of replies, and keep their order."""
        self.serve()
        calls = [self.client.call("jobs", number) for number in range(5)]
        self.flush()
        self.assertEqual(
            [self.successResultOf(each) for each in calls], [0, 2, 4, 6, 8]
        )
        self.assertEqual(self.handled, [0, 1, 2, 3, 4])

    def test_by_an_exchange(self) -> None:
        """Requests may go to an exchange, which is declared."""
        exchange = Exchange("work", "topic")
        queue = Queue("jobs", exchange, "do.#")
        self.result_of(RPCServer(self.serving, queue, self.double).consume())
        client = RPCClient(self.connection, exchange)
        self.assertEqual(self.result_of(client.call("do.it", 2)), 4)

    def test_two_clients_of_a_channel(self) -> None:
        """Each client has a channel of its own, whatever it was given."""
        self.serve()
        channel = self.result_of(self.connection.channel())
        clients = [RPCClient(channel), RPCClient(channel)]
        for client in clients:
            self.assertEqual(self.result_of(client.call("jobs", 1)), 2)
            self.assertIsNot(client.channel, channel)
            self.result_of(client.close())
        self.assertFalse(channel.closed)

    def test_reply_queue(self) -> None:
        """Replies may go to a queue of the program."""
        self.serve()
        client = RPCClient(self.connection, reply_queue=Queue("answers"))
        self.assertEqual(self.result_of(client.call("jobs", 1)), 2)
        self.assertEqual(self.requests()[0].properties["reply_to"], "answers")

    def test_unknown_replies(self) -> None:
        """What answers no call is dropped."""
        self.serve()
        client = RPCClient(self.connection, reply_queue=Queue("answers"))
        self.assertEqual(self.result_of(client.call("jobs", 1)), 2)
        producer = Producer(self.connect())
        for number in (None, "other"):
            self.result_of(producer.publish("?", "answers", correlation_id=number))
        self.assertEqual(self.broker.waiting_in("answers"), 0)
        self.assertEqual(self.result_of(client.call("jobs", 2)), 4)

    def test_reply_not_accepted(self) -> None:
        """A reply that cannot be decoded fails its call."""
        self.serve(serializer="yaml")
        client = RPCClient(self.connection, accept=["json"])
        with self.assertRaises(ContentDisallowed):
            self.result_of(client.call("jobs", [1]))

    def test_reply_before_the_confirm(self) -> None:
        """A reply counts, also if the confirm of its request has not come yet."""
        self.serve()
        self.result_of(self.client.call("jobs", 0))
        self.broker.hold_confirms()
        self.assertEqual(self.successResultOf(self.begin(1)), 2)
        self.broker.release_confirms()

    def test_mandatory(self) -> None:
        """A request may do without the check that a queue takes it."""
        for options in ({"mandatory": True}, {"mandatory": None}):
            with self.assertRaises(Unroutable):
                self.result_of(self.client.call("nowhere", 1, **options))
        calling = self.begin(timeout=2, mandatory=False)
        self.assertNoResult(calling)
        self.wait(2)
        self.failureResultOf(calling, OutcomeUnknownInTime)


class FailureTests(RPCTestCase):
    """Calls that fail."""

    def test_unroutable(self) -> None:
        """Without a queue for it a call fails at once."""
        with self.assertRaises(Unroutable):
            self.result_of(self.client.call("nowhere", 1))

    def test_wrong_option(self) -> None:
        """What publish refuses fails the call."""
        for options, kind in (
            ({"colour": "red"}, TypeError),
            ({"priority": 300}, ValueError),
        ):
            with self.assertRaises(kind):
                self.result_of(self.client.call("jobs", 1, **options))
        self.assertRaises(ValueError, self.client.call, "jobs", 1, timeout=-1)

    def test_own_properties(self) -> None:
        """A call refuses the properties by which the client finds its replies."""
        for name in ("reply_to", "correlation_id"):
            for value in ("mine", None):
                with self.assertRaisesRegex(TypeError, rf"call\(\) sets {name} itself"):
                    self.client.call("jobs", 1, **{name: value})  # type: ignore[arg-type]  # wrong on purpose
        self.assertEqual(repr(self.client), "<RPCClient to '', 0 calls>")

    def test_backpressure(self) -> None:
        """If too many messages wait, a call fails at once."""
        self.serve()
        self.result_of(self.client.call("jobs", 1))
        self.broker.block()
        waiting = [self.client.call("jobs", "x" * 2**23) for _ in range(9)]
        self.failureResultOf(waiting[-1], BackpressureError)
        self.result_of(self.client.close())
        for call in waiting[:-1]:
            self.failureResultOf(call, OutcomeUnknown)

    def test_errors_of_the_handler(self) -> None:
        """The caller gets the name and the text of a handler's error."""

        async def refuse(body: Any, message: Message) -> None:
            raise LookupError("no such feed")

        for handler, kind, text in (
            (lambda body, message: 1 / 0, "ZeroDivisionError", "division by zero"),
            (lambda body, message: fail(OSError("down")), "OSError", "down"),
            (refuse, "LookupError", "no such feed"),
            (lambda body, message: object(), "EncodeError", None),
        ):
            server = self.serve(handler)
            failure = self.failure_of(self.client.call("jobs", 1), RemoteError)
            self.assertEqual(failure.kind, kind)
            if text is not None:
                self.assertEqual(failure.text, text)
                self.assertEqual(str(failure), f"{kind}: {text}")
            self.assertEqual(self.broker.waiting_in("jobs"), 0)
            logged = self.flushLoggedErrors()
            self.assertEqual([each.type.__name__ for each in logged], [kind])
            self.result_of(server.close())

    def failure_of(self, calling: Deferred[Any], kind: type[Exception]) -> Any:
        """Flush, and return the error that a call fails with."""
        self.flush()
        return self.failureResultOf(calling, kind).value

    def test_chosen_error(self) -> None:
        """A handler that raises RemoteError chooses what the caller gets; no log."""

        def refuse(body: Any, message: Message) -> None:
            raise RemoteError("OutOfStock", body * 10_000)

        self.serve(refuse)
        for sent, received in (("xx", "x" * 10_000), ("", "")):
            error = self.failure_of(self.client.call("jobs", sent), RemoteError)
            self.assertEqual((error.kind, error.text), ("OutOfStock", received))
        self.assertEqual(str(error), "OutOfStock")

    def test_surrogates(self) -> None:
        """A text that is no UTF-8 is sent with escapes."""

        def refuse(body: Any, message: Message) -> None:
            raise RemoteError("Odd", "\udc80")

        self.serve(refuse)
        error = self.failure_of(self.client.call("jobs", 1), RemoteError)
        self.assertEqual(error.text, "\\udc80")

    def test_system_exit(self) -> None:
        """A handler that exits ends its call only."""

        def leave(body: Any, message: Message) -> None:
            raise SystemExit(3)

        self.serve(leave)
        error = self.failure_of(self.client.call("jobs", 1), RemoteError)
        self.assertEqual(error.kind, "RuntimeError")
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_undecodable_request(self) -> None:
        """A request that cannot be decoded is replied to with an error."""
        self.serve()
        calling = self.client.call("jobs", "{", content_type="application/json")
        self.assertEqual(self.failure_of(calling, RemoteError).kind, "DecodeError")
        self.assertEqual(self.handled, [])
        self.assertEqual(self.broker.waiting_in("jobs"), 0)

    def test_not_reachable(self) -> None:
        """Without a broker a first call fails, and a later one finds the broker."""
        self.serve()
        self.broker.refuse()
        connection = self.connect()
        client = RPCClient(connection)
        self.failure_of(client.call("jobs", 1), ConnectError)
        self.broker.accept()
        self.assertEqual(self.result_of(client.call("jobs", 1)), 2)


class OtherBrokerTests(SynchronousTestCase):
    """Brokers that lack direct reply-to, or more."""

    def call(self, session: FakeSession) -> list[Call]:
        """Call over a session; return how the requests and the replies are asked."""
        clock, transport = Clock(), FakeTransport()
        connection = BrokerConnection(transport=transport, reactor=clock)
        client = RPCClient(connection)
        calling = client.call("jobs", "x")
        transport.attempts[0].succeed(session)
        [channel] = session.channels
        channel.called("basic_publish")[0].succeed()
        consumed = channel.called("basic_consume")[-1]
        number = channel.called("basic_publish")[0].arguments[1]["correlation_id"]
        properties = {"correlation_id": number, "content_type": "text/plain"}
        consumed.arguments[6](delivery(properties=properties))
        self.assertEqual(self.successResultOf(calling), "hello")
        connection.close()
        return channel.calls

    def check_own_queue(self, calls: list[Call]) -> Call:
        """Check that replies go to a queue of the client; return the publish."""
        names = [each.name for each in calls]
        declared = calls[names.index("queue_declare")].arguments[0]
        self.assertTrue(declared.exclusive)
        publish = calls[names.index("basic_publish")]
        self.assertEqual(publish.arguments[1]["reply_to"], "amq.gen-1")
        return publish

    def test_no_direct_replies(self) -> None:
        """If the broker refuses direct reply-to, a queue of the client serves."""

        def consume(queue: Queue, *_: object) -> Exception | None:
            return NotFound("no such queue") if queue.name == DIRECT else None

        session = FakeSession()
        session.refuse["basic_consume"] = consume
        session.refuse["queue_declare"] = QueueDeclareOk("amq.gen-1", 0, 0)
        self.check_own_queue(self.call(session))

    def test_not_capable(self) -> None:
        """Without the capabilities it is not tried, and requests are not mandatory."""

        class Session(FakeSession):
            capabilities = frozenset(Capability) - {
                Capability.DIRECT_REPLY_TO,
                Capability.MANDATORY,
            }

        session = Session()
        session.refuse["queue_declare"] = QueueDeclareOk("amq.gen-1", 0, 0)
        calls = self.call(session)
        self.assertFalse(self.check_own_queue(calls).arguments[4])
        self.assertEqual([each.name for each in calls].count("basic_consume"), 1)

    def test_queue_not_found(self) -> None:
        """A queue of the program that is missing fails the call."""
        session = FakeSession()
        session.refuse["basic_consume"] = NotFound("no such queue")
        transport = FakeTransport()
        connection = BrokerConnection(transport=transport, reactor=Clock())
        client = RPCClient(connection, reply_queue=Queue("answers"))
        calling = client.call("jobs", "x")
        transport.attempts[0].succeed(session)
        self.failureResultOf(calling, NotFound)
        connection.close()


class DeadlineTests(RPCTestCase):
    """One deadline for all of a call."""

    def test_no_reply(self) -> None:
        """A call without a reply ends at its deadline, and its request was sent."""
        gates = self.serve_when_told()
        calling = self.begin(timeout=5)
        self.wait(4.5)
        self.assertNoResult(calling)
        self.wait(0.5)
        error = self.failureResultOf(calling, OutcomeUnknownInTime).value
        self.assertEqual(
            str(error),
            "the call to 'jobs' was not over within 5 s (waiting for the reply; its "
            "outcome is unknown)",
        )
        gates[0].callback("late")

    def test_request_expires(self) -> None:
        """A request that no server takes in time is dropped by its queue."""
        self.result_of(JOBS(self.serving).declare())
        calling = self.begin(timeout=5)
        self.assertEqual(self.broker.waiting_in("jobs"), 1)
        self.wait(5)
        self.failureResultOf(calling, OutcomeUnknownInTime)
        self.assertEqual(self.broker.waiting_in("jobs"), 0)
        self.begin(timeout=5, expiration=None).addErrback(lambda _: None)
        self.wait(6)
        self.assertEqual(self.broker.waiting_in("jobs"), 1)

    def test_not_sent(self) -> None:
        """While there is no connection, a call ends unsent at its deadline."""
        self.serve()
        self.result_of(self.client.call("jobs", 1))
        self.broker.refuse()
        self.broker.drop()
        calling = self.begin(timeout=3)
        self.wait(3)
        error = self.failureResultOf(calling, NotSentInTime).value
        self.assertIn("the call to 'jobs' was not over within 3 s (", str(error))
        self.assertTrue(error.is_safe_to_repeat)
        self.assertEqual(len(self.requests()), 1)
        self.broker.accept()

    def test_not_started(self) -> None:
        """A first call ends at its deadline while the session is lost, too."""
        self.serve()
        self.result_of(self.connection.connect())
        self.broker.refuse()
        self.broker.drop()
        calling = self.begin(timeout=3)
        self.wait(3)
        error = self.failureResultOf(calling, NotSentInTime).value
        self.assertIn("waiting for the consumer of the replies; it was not", str(error))
        second = self.begin(timeout=90)
        self.wait(40)
        self.assertNoResult(second)
        self.broker.accept()
        self.wait(40)
        self.assertEqual(self.successResultOf(second), 2)

    def test_default(self) -> None:
        """The client's timeout holds for calls without one."""
        self.serve_when_told()
        self.client = RPCClient(self.connection, timeout=2)
        calling = self.begin()
        self.wait(2)
        self.failureResultOf(calling, OutcomeUnknownInTime)

    def test_unconfirmed(self) -> None:
        """A request that was sent and not confirmed ends with an unknown outcome."""
        self.serve_when_told()
        self.begin(0, timeout=1).addErrback(lambda _: None)
        self.broker.hold_confirms()
        calling = self.begin(timeout=3)
        self.wait(3)
        error = self.failureResultOf(calling, OutcomeUnknownInTime).value
        self.assertIn("the call to 'jobs' was not over within 3 s", str(error))
        self.broker.release_confirms()

    def test_cancel(self) -> None:
        """A cancelled call is forgotten; its late reply is dropped."""
        gates = self.serve_when_told()
        calling = self.begin()
        calling.cancel()
        self.failureResultOf(calling, CancelledError)
        gates[0].callback("late")
        self.flush()
        self.assertEqual(repr(self.client), "<RPCClient to '', 0 calls>")

    def test_cancel_unconfirmed(self) -> None:
        """A call that is cancelled before its confirm is not sent again by a loss."""
        self.serve_when_told()
        self.begin(0).addErrback(lambda _: None)
        self.broker.hold_confirms()
        calling = self.begin(retry=True)
        calling.cancel()
        self.failureResultOf(calling, CancelledError)
        self.connection.drop()
        self.broker.release_confirms()
        self.wait(3)
        self.assertEqual(len(self.requests()), 2)

    def test_cancel_unsent(self) -> None:
        """A call that is cancelled before its request is sent is not sent."""
        self.serve()
        self.result_of(self.client.call("jobs", 1))
        self.broker.block()
        calling = self.begin()
        calling.cancel()
        self.failureResultOf(calling, CancelledError)
        self.broker.unblock()
        self.flush()
        self.assertEqual(self.handled, [1])


class LossTests(RPCTestCase):
    """What a lost session does to calls."""

    def test_in_flight(self) -> None:
        """A call that awaits its reply fails: its outcome is unknown."""
        gates = self.serve_when_told()
        calling = self.begin()
        self.connection.drop()
        error = self.failureResultOf(calling, OutcomeUnknown).value
        self.assertIs(error.outcome, Outcome.UNKNOWN)
        self.assertIn("the call to 'jobs' was sent, but its reply cannot", str(error))
        gates[0].callback("late")
        self.wait(2)

    def test_unconfirmed(self) -> None:
        """So does one whose request was not confirmed."""
        self.serve_when_told()
        self.begin(0).addErrback(lambda _: None)
        self.broker.hold_confirms()
        calling = self.begin()
        self.connection.drop()
        self.flush()
        self.failureResultOf(calling, OutcomeUnknown)
        self.broker.release_confirms()

    def test_afterwards(self) -> None:
        """Calls made during and after a loss are answered."""
        self.serve()
        for client in (self.client, RPCClient(self.connection, reply_queue=OWN)):
            self.result_of(client.call("jobs", 1))
            self.connection.drop()
            during = client.call("jobs", 2)
            self.wait(2)
            self.assertEqual(self.successResultOf(during), 4)
            self.assertEqual(self.result_of(client.call("jobs", 3)), 6)

    def test_retry(self) -> None:
        """With retry the request is sent again, and the reply comes."""
        gates, direct = self.serve_when_told(), self.client
        for client in (direct, RPCClient(self.connection, reply_queue=OWN)):
            self.client, before = client, len(self.requests())
            calling = self.begin("a", retry=True)
            self.connection.drop()
            self.wait(2)
            self.assertNoResult(calling)
            first, second = self.requests()[before:]
            for name in ("message_id", "correlation_id"):
                self.assertEqual(first.properties[name], second.properties[name])
            if client is not direct:
                # The broker gives the queue another name.
                self.assertNotEqual(
                    first.properties["reply_to"], second.properties["reply_to"]
                )
            for gate in gates[-2:]:
                gate.callback("done")
            self.flush()
            self.assertEqual(self.successResultOf(calling), "done")

    def test_retry_ends(self) -> None:
        """A retry ends at the deadline of the call, with an unknown outcome."""
        gates = self.serve_when_told()
        calling = self.begin(retry=True, timeout=5)
        closed = self.begin(retry=True, timeout=50)
        self.broker.refuse()
        self.connection.drop()
        self.wait(5)
        error = self.failureResultOf(calling, OutcomeUnknownInTime).value
        self.assertIn("waiting to be sent again; its outcome is unknown", str(error))
        self.connection.close()
        self.flush()
        self.failureResultOf(closed, OutcomeUnknown)
        self.broker.accept()
        for gate in gates:
            gate.callback(None)

    def test_retry_after_the_reply(self) -> None:
        """A request that was answered is not sent again, confirmed or not."""
        for options in ({"retry": True}, {"retry": True, "confirm": True}, {}):
            self.serve_answered(**options)

    def serve_answered(self, **options: Any) -> None:
        """Lose the session when a call has its reply, and no confirm."""
        before = len(self.requests())
        server = self.serve()
        self.result_of(self.client.call("jobs", 0))
        self.broker.hold_confirms()
        self.assertEqual(self.successResultOf(self.begin(1, **options)), 2)
        self.connection.drop()
        self.broker.release_confirms()
        self.wait(3)
        sent = [each.payload for each in self.requests()[before:]]
        self.assertEqual(sent, [0, 1])
        self.result_of(server.close())

    def test_second_copy_unsent(self) -> None:
        """A reply to the first copy of a request keeps the second from being sent."""
        gates = self.serve_when_told()
        self.client = RPCClient(self.connection, reply_queue=Queue("answers"))
        for hold in (lambda: None, self.broker.hold_confirms):
            before = len(self.requests())
            hold()
            calling = self.begin(retry=True)
            self.connection.drop()
            gates[-1].callback("first")
            self.broker.release_confirms()
            self.flush()
            self.assertEqual(self.broker.waiting_in("answers"), 1)
            self.broker.block()
            self.wait(3)
            self.assertEqual(self.successResultOf(calling), "first")
            self.broker.unblock()
            self.wait(3)
            self.assertEqual(len(self.requests()), before + 1)

    def test_server_loss(self) -> None:
        """A request whose server is cut off is handled again, and answered once."""
        gates = self.serve_when_told()
        calling = self.begin()
        self.serving.drop()
        self.wait(2)
        self.assertEqual(self.handled, [1, 1])
        gates[1].callback("second")
        self.flush()
        self.assertEqual(self.successResultOf(calling), "second")
        gates[0].callback("first")
        self.flush()

    def test_reply_queue_deleted(self) -> None:
        """
        If the reply queue goes, calls fail at once.  Later ones wait until there is
        one again, and are answered.
        """
        self.serve()
        self.client = RPCClient(self.connection, reply_queue=Queue("answers"))
        self.result_of(self.client.call("jobs", 1))
        self.result_of(Queue("silent")(self.serving).declare())
        calling = self.client.call("silent", 1, retry=True)
        self.flush()
        self.result_of(Queue("answers")(self.serving).delete())
        self.flush()
        self.failureResultOf(calling, OutcomeUnknown)
        for number in (2, 3):
            waiting = self.client.call("jobs", number)
            self.flush()
            self.assertNoResult(waiting)
            self.wait(3)
            self.assertEqual(self.successResultOf(waiting), 2 * number)
            self.result_of(Queue("answers")(self.serving).delete())
            self.flush()

    def test_reply_queue_refused(self) -> None:
        """A call that has no reply queue again until its deadline was not sent."""
        self.serve()
        answers = Queue("answers", auto_delete=True)
        self.client = RPCClient(self.connection, timeout=10, reply_queue=answers)
        self.result_of(self.client.call("jobs", 1))
        self.result_of(Queue("answers")(self.serving).delete())
        other = Queue("answers", exclusive=True)
        self.result_of(other(self.serving).declare())
        calling = self.client.call("jobs", 2)
        self.wait(11)
        self.failureResultOf(calling, NotSentInTime)
        self.assertEqual(len(self.requests()), 1)

    def test_channel_error(self) -> None:
        """An error that ends the client's channel fails what is in flight."""
        self.serve_when_told()
        calling = self.begin()
        refused = Queue("jobs", queue_arguments={"x-max-length": 1})
        with self.assertRaises(PreconditionFailed):
            self.result_of(refused(self.client.channel).declare())
        self.failureResultOf(calling, OutcomeUnknown)


OWN = Queue("", exclusive=True)


class ClosingTests(RPCTestCase):
    """What a close does to calls."""

    def test_close(self) -> None:
        """Closing fails what waits, and what is called afterwards."""
        self.serve_when_told()
        calling = self.begin()
        self.result_of(self.client.close())
        self.failureResultOf(calling, OutcomeUnknown)
        self.assertTrue(self.client.channel.closed)
        self.failureResultOf(self.client.call("jobs", 1), ChannelClosed)
        self.result_of(self.client.close())

    def test_unsent(self) -> None:
        """A call that is not sent yet fails with ChannelClosed, and is not sent."""
        calling = self.client.call("jobs", 1)
        closing = self.client.close()
        error = self.failureResultOf(calling, ChannelClosed).value
        self.assertIs(error.outcome, Outcome.NOT_SENT)
        self.result_of(closing)
        self.assertEqual(self.requests(), [])

    def test_publishing(self) -> None:
        """One whose request is on its way has an unknown outcome."""
        self.serve()
        self.result_of(self.client.call("jobs", 1))
        self.broker.block()
        calling = self.begin(2)
        self.result_of(self.client.close())
        error = self.failureResultOf(calling, OutcomeUnknown).value
        self.assertIn("the call to 'jobs' may have been sent", str(error))
        self.broker.unblock()
        self.flush()
        self.assertEqual(self.handled, [1])

    def test_connection_closed(self) -> None:
        """The end of the connection is the end of its clients."""
        self.serve_when_told()
        calling = self.begin()
        self.result_of(self.connection.close())
        self.failureResultOf(calling, OutcomeUnknown)
        self.failureResultOf(self.client.call("jobs", 1), ChannelClosed)

    def test_async_with(self) -> None:
        """C{async with} closes the client."""
        self.serve()

        async def program() -> object:
            async with RPCClient(self.connection) as client:
                self.client = client
                return await client.call("jobs", 4)

        self.assertEqual(self.result_of(program()), 8)
        self.assertTrue(self.client.channel.closed)

    def test_no_timer_left(self) -> None:
        """A closed client and connection leave no timer."""
        self.serve_when_told()
        self.begin().addErrback(lambda _: None)
        self.result_of(self.client.close())
        self.result_of(self.connection.close())
        self.result_of(self.serving.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ServerTests(RPCTestCase):
    """What a server does with requests."""

    def publish(self, **options: Any) -> None:
        """Publish a request without a client."""
        self.result_of(Producer(self.connect()).publish(1, "jobs", **options))

    def test_handler_needed(self) -> None:
        """A server needs a handler that takes a payload and a message."""
        self.assertRaises(TypeError, RPCServer, self.connection, JOBS)
        self.assertRaises(TypeError, RPCServer, self.connection, JOBS, 3)
        self.assertRaises(TypeError, RPCServer, self.connection, JOBS, lambda: None)

    def test_subclass(self) -> None:
        """A subclass may set queues and override handle."""

        class Doubler(RPCServer):
            queues = JOBS

            def handle(self, body: Any, message: Message) -> object:
                return body + body

        self.result_of(Doubler(self.serving).consume())
        self.assertEqual(self.result_of(self.client.call("jobs", "a")), "aa")

    def test_no_reply_wanted(self) -> None:
        """A request without reply_to is handled and acknowledged."""
        self.serve()
        self.publish()
        self.assertEqual(self.handled, [1])
        self.assertEqual(self.broker.waiting_in("jobs"), 0)
        self.assertEqual(len(self.published), 1)
        self.result_of(self.serving.close())
        self.assertEqual(self.broker.waiting_in("jobs"), 0)

    def test_no_reply_wanted_failing(self) -> None:
        """The failure policy decides on one that fails, or cannot be decoded."""
        failed: list[str] = []

        def on_failure(message: Message, failure: Any) -> None:
            failed.append(failure.type.__name__)
            message.reject()

        self.serve(lambda body, message: 1 / 0, on_failure=on_failure)
        self.publish()
        producer = Producer(self.connect())
        self.result_of(producer.publish("{", "jobs", content_type="application/json"))
        self.assertEqual(failed[0], "ZeroDivisionError")
        self.assertEqual(failed[-1], "DecodeError")

    def test_vanished_queue(self) -> None:
        """A reply to a queue that is gone is no failure of the server."""
        self.serve()
        for name in ("gone", "amq.rabbitmq.reply-to.gone"):
            self.publish(reply_to=name, correlation_id="c")
        self.assertEqual(self.handled, [1, 1])
        self.assertEqual(self.broker.waiting_in("jobs"), 0)
        self.assertTrue(self.serving.is_consuming)

    def test_acknowledged_last(self) -> None:
        """A request is acknowledged when the broker has the reply."""
        self.serve()
        self.broker.hold_confirms()
        calling = self.begin()
        [message] = self.serving.core.channels[0].consumers.unsettled  # type: ignore[attr-defined]
        self.assertFalse(message.acknowledged)
        self.assertEqual(self.successResultOf(calling), 2)
        self.broker.release_confirms()
        self.flush()
        self.assertTrue(message.acknowledged)

    def test_settled_by_the_handler(self) -> None:
        """A handler may settle its request itself."""

        def settle(body: Any, message: Message) -> str:
            message.ack()
            return "settled"

        self.serve(settle)
        self.assertEqual(self.result_of(self.client.call("jobs", 1)), "settled")

    def test_no_ack(self) -> None:
        """A server may take requests without acks."""
        self.serve(no_ack=True)
        self.assertEqual(self.result_of(self.client.call("jobs", 1)), 2)

    def test_verdicts(self) -> None:
        """A verdict of the handler is about the request; there is no reply."""
        verdicts = [Requeue(), None]

        def decide(body: Any, message: Message) -> str:
            verdict = verdicts.pop(0)
            if verdict is not None:
                raise verdict
            return "in the end"

        self.serve(decide)
        calling = self.begin(timeout=90)
        self.assertNoResult(calling)
        self.wait(31)
        self.assertEqual(self.successResultOf(calling), "in the end")
        verdicts.append(Reject())  # type: ignore[arg-type]
        rejected = self.begin(timeout=1)
        self.wait(1)
        self.failureResultOf(rejected, OutcomeUnknownInTime)
        self.assertEqual(self.broker.waiting_in("jobs"), 0)

    def test_reply(self) -> None:
        """A reply has the correlation id, its serializer, and is transient."""
        self.result_of(Queue("answers")(self.serving).declare())
        self.serve(serializer="yaml")
        self.publish(reply_to="answers", correlation_id="c")
        [reply] = self.broker.published_to("", "answers")
        self.assertEqual(reply.properties["correlation_id"], "c")
        self.assertEqual(reply.properties["delivery_mode"], 1)
        self.assertIn("yaml", str(reply.properties["content_type"]))


class RespondTests(RPCTestCase):
    """C{message.respond} of any consumer."""

    def test_respond(self) -> None:
        """A consumer replies to a message that wants it."""

        async def receive(body: Any, message: Message) -> None:
            self.handled.append((message.reply_to is None, message.correlation_id))
            await message.respond({"got": body}, headers={"a": "b"})
            await message.ack()

        consumer = Consumer(self.serving, JOBS, callbacks=[receive])
        self.result_of(consumer.consume())
        self.assertEqual(self.result_of(self.client.call("jobs", 1)), {"got": 1})
        [(is_none, correlation)] = self.handled
        self.assertFalse(is_none)
        self.assertEqual(correlation, self.requests()[0].properties["correlation_id"])

    def test_got(self) -> None:
        """So does a program that gets its messages one by one."""
        queue = JOBS(self.serving)
        self.result_of(queue.declare())
        calling = self.begin()
        message = self.result_of(queue.get())
        assert message is not None
        self.result_of(message.respond("late"))
        self.result_of(message.ack())
        self.assertEqual(self.successResultOf(calling), "late")

    def test_own_properties(self) -> None:
        """What a reply takes from its message cannot be given."""
        queue = JOBS(self.serving)
        self.result_of(queue.declare())
        self.begin().addErrback(lambda _: None)
        message = self.result_of(queue.get())
        assert message is not None
        for name in ("exchange", "routing_key", "correlation_id"):
            with self.assertRaisesRegex(TypeError, rf"respond\(\) sets {name} itself"):
                message.respond("late", **{name: "mine"})
        self.result_of(message.ack())

    def test_no_reply_to(self) -> None:
        """Without reply_to there is nobody to reply to."""
        queue = JOBS(self.serving)
        self.result_of(queue.declare())
        self.result_of(Producer(self.serving).publish(1, "jobs"))
        message = self.result_of(queue.get())
        assert message is not None
        self.assertIsNone(message.reply_to)
        self.assertIsNone(message.correlation_id)
        error = self.assertRaises(ValueError, message.respond, 1)
        self.assertIn("has no reply_to", str(error))
        self.result_of(message.ack())

    def test_unbound(self) -> None:
        """A message of a queue that is bound to no channel cannot be replied to."""
        channel = self.result_of(self.serving.channel())
        self.result_of(JOBS(channel).declare())
        self.result_of(Producer(self.serving).publish(1, "jobs", reply_to="r"))
        message = self.result_of(channel.basic_get(JOBS))
        assert message is not None
        self.assertRaises(NotBoundError, message.respond, 1)
        self.result_of(message.ack())
