"""txkombu move, on a broker in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.cli.test_commands import CommandCase
from tests.support.commands import Ran
from txkombu import Consumer, Message, Queue
from txkombu.cli.command import carry_out
from txkombu.cli.move import MoveOptions, move
from txkombu.cli.origin import origin_of
from txkombu.policy import delayed, park, reject, retry


def fails(body: object, message: Message) -> None:
    """Handle a message, which does not work."""
    raise RuntimeError("no database")


class MoveCase(CommandCase):
    """Has messages in a dead-letter queue C{dead}, which come from C{work}."""

    def setUp(self) -> None:
        super().setUp()
        self.work = Queue(
            "work",
            queue_arguments={
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "dead",
            },
        )(self.connection)
        self.dead = Queue("dead")(self.connection)
        self.result_of(self.work.declare())
        self.result_of(self.dead.declare())

    def kill(self, *bodies: object, **options: Any) -> None:
        """Publish messages to C{work} that are rejected."""
        producer = self.connection.Producer(routing_key="work")
        for body in bodies:
            self.result_of(producer.publish(body, **options))
            message = self.result_of(self.work.get())
            assert message is not None
            message.reject()
        self.result_of(producer.close())
        self.flush()

    def fail_with(self, policy: Any, queue: str, *bodies: object) -> None:
        """Have messages of a queue handled, which fails."""
        failing = self.work if queue == "work" else Queue(queue)
        consumer = Consumer(
            self.connection, failing.unbound(), callbacks=[fails], on_failure=policy
        )
        self.result_of(consumer.consume())
        producer = self.connection.Producer(routing_key=queue)
        for body in bodies:
            self.result_of(producer.publish(body))
        self.advance(5)
        self.result_of(consumer.close())
        self.result_of(producer.close())
        self.flushLoggedErrors(RuntimeError)

    def all_of(self, name: str) -> list[Message]:
        """Take all messages of a queue."""
        queue, found = Queue(name)(self.connection), []
        while message := self.result_of(queue.get(no_ack=True)):
            found.append(message)
        return found

    def bodies_of(self, name: str) -> list[object]:
        """Take all messages of a queue, and give what is in them."""
        return [each.payload for each in self.all_of(name)]


class OriginTests(MoveCase):
    """Without DESTINATION messages go back."""

    def test_dead_lettered(self) -> None:
        """Dead-lettered messages go back in order, and begin anew."""
        self.kill("one", "two", headers={"n": 1}, message_id="m")
        ran = self.run_command("move dead")
        self.assertEqual(ran.err, "moved 2 messages from 'dead' to 'work'\n")
        one, two = self.all_of("work")
        self.assertEqual((one.payload, two.payload), ("one", "two"))
        self.assertEqual(dict(one.headers), {"n": 1})
        self.assertEqual((one.properties["message_id"], one.attempts), ("m", 0))
        self.assertEqual(self.bodies_of("dead"), [])

    def test_parked(self) -> None:
        """Parked messages go back to the queue of each."""
        self.fail_with(retry(2, delay=1, then=park("parked")), "work", "w1", "w2")
        self.fail_with(park("parked"), "mail", "m1")
        ran = self.run_command("move parked")
        self.assertEqual(
            ran.err,
            "moved 2 messages from 'parked' to 'work'\n"
            "moved 1 message from 'parked' to 'mail'\n",
        )
        one, _ = self.all_of("work")
        self.assertEqual((one.payload, dict(one.headers)), ("w1", {}))
        self.assertEqual(self.bodies_of("mail"), ["m1"])

    def test_delayed(self) -> None:
        """A queue in which a message only waited for a retry does not count."""
        policy = delayed(attempts=3, delays=[1], park="parked")
        self.fail_with(policy, "work", "w")
        self.run_command("move parked")
        self.assertEqual(self.bodies_of("work"), ["w"])
        self.fail_with(retry(1, then=reject), "work", "r")
        self.run_command("move dead")
        self.assertEqual(self.bodies_of("work"), ["r"])

    def test_rejected_after_delay(self) -> None:
        """Of several deaths the last rejection tells, and else the first death."""
        delay = {"queue": "work.delay", "reason": "expired"}
        rejected = {"queue": "work", "reason": "rejected", "routing-keys": ["key"]}
        elder = {"queue": "dead1", "reason": "expired"}
        for deaths, origin in (
            ([rejected, delay], "work"),
            ([elder, rejected], "work"),
            ([elder, delay], "work.delay"),
            ([{"queue": "here", "reason": "rejected"}, delay], "work.delay"),
            ([{"queue": 5}, "odd"], ""),
            ("odd", ""),
            ([], ""),
        ):
            self.put("x", headers={"x-death": deaths})
            self.assertEqual(origin_of(self.got(), "here"), origin)
        self.put("x", headers={"x-death": [rejected], "x-parked-from": "mail"})
        self.assertEqual(origin_of(self.got(), "here"), "mail")

    def test_unknown(self) -> None:
        """Messages of which nothing tells where they came from stay, and it fails."""
        self.put("one", "two")
        self.kill("w")
        self.result_of(self.connection.Producer().publish("odd", "dead"))
        ran = self.run_command("move dead", code=1)
        self.assertIn("moved 1 message from 'dead' to 'work'\n", ran.err)
        why = "the headers do not tell where it came from: give a DESTINATION"
        self.assertIn(f"left 1 message: {why}\n", ran.err)
        self.assertTrue(ran.err.endswith(f"move: {why}\n"))
        self.assertEqual(self.bodies_of("dead"), ["odd"])

    def test_origin_is_gone(self) -> None:
        """A queue that is gone keeps only its own messages from going back."""
        self.kill("one")
        self.fail_with(park("dead"), "mail", "two")
        self.result_of(self.work.delete())
        ran = self.run_command("move dead", code=1)
        self.assertIn("moved 1 message from 'dead' to 'mail'\n", ran.err)
        self.assertIn("left 1 message: there is no queue 'work'\n", ran.err)
        self.assertEqual(self.bodies_of("dead"), ["one"])


class MoveTests(MoveCase):
    """With DESTINATION, and with what limits it."""

    def test_destination(self) -> None:
        """Elsewhere, messages keep the headers that tell why they died."""
        self.kill("one")
        self.run_command("move dead jobs")
        message = self.got()
        self.assertEqual(message.payload, "one")
        self.assertEqual(origin_of(message, "jobs"), "work")

    def test_limit(self) -> None:
        """No more than the limit are moved; the others stay in order."""
        self.kill(*"abcd")
        ran = self.run_command("move dead jobs --limit 2")
        self.assertEqual(ran.err, "moved 2 messages from 'dead' to 'jobs'\n")
        self.assertEqual(self.left(), [b"a", b"b"])
        self.assertEqual(self.bodies_of("dead"), ["c", "d"])

    def test_limit_counts_moved(self) -> None:
        """Messages that are refused do not count."""
        self.result_of(self.connection.Producer().publish("odd", "dead"))
        self.kill("a", "b")
        self.run_command("move dead --limit 1", code=1)
        self.assertEqual(self.bodies_of("work"), ["a"])
        self.assertEqual(self.bodies_of("dead"), ["odd", "b"])

    def test_filter(self) -> None:
        """Only what passes all filters is moved; the others stay in order."""
        self.kill("a", headers={"tenant": "x", "n": 1})
        self.kill("b", headers={"tenant": "y", "n": 1})
        self.kill("c", headers={"tenant": "x", "n": "2"})
        self.kill("d")
        ran = self.run_command("move dead jobs --filter tenant=x --filter n=2")
        self.assertIn("left 3 messages: the filter does not let pass", ran.err)
        self.run_command("move dead jobs --filter n=1 -n 1")
        self.assertEqual(self.left(), [b"c", b"a"])
        self.assertEqual(self.bodies_of("dead"), ["b", "d"])

    def test_filter_by_key(self) -> None:
        """A text has to be in the routing key, that of now or of before."""
        self.kill("a")
        self.result_of(self.connection.Producer().publish("b", "dead"))
        self.run_command("move dead jobs --filter wor")
        self.assertEqual(self.left(), [b"a"])
        self.run_command("move dead jobs --filter ead")
        self.assertEqual(self.left(), [b"b"])

    def test_circle(self) -> None:
        """What comes back while it moves is not moved again."""
        self.kill("a", "b", "c")
        consumer = self.work(self.connection)
        self.result_of(consumer.consume(callback=lambda message: message.reject()))
        ran = self.run_command("move dead")
        self.assertEqual(ran.err, "moved 3 messages from 'dead' to 'work'\n")
        self.assertEqual(sorted(map(str, self.bodies_of("dead"))), ["a", "b", "c"])

    def test_many(self) -> None:
        """Many are moved with few on their way, and a terminal shows how far it is."""
        self.put(*range(500))
        ran = self.run_command("move jobs dead", terminal=True)
        self.assertTrue(ran.err.endswith("moved 500 messages from 'jobs' to 'dead'\n"))
        self.assertEqual(self.bodies_of("dead"), list(range(500)))

    def test_no_source(self) -> None:
        """A queue that is not there is an error; an empty one is not."""
        self.assertIn("no queue 'no'", self.run_command("move no jobs", code=1).err)
        ran = self.run_command("move dead")
        self.assertEqual(ran.err, "moved no message from 'dead'\n")

    def test_expired(self) -> None:
        """A message does not expire where it was moved to."""
        self.put("a", expiration=60)
        self.run_command("move jobs dead")
        self.advance(100)
        self.assertEqual(self.bodies_of("dead"), ["a"])

    def test_wrong(self) -> None:
        """What makes no sense is refused."""
        for arguments, text in (
            ("", "Wrong number of arguments"),
            ("jobs jobs", "SOURCE and DESTINATION are the same queue"),
            ("jobs ''", "DESTINATION is empty"),
            ("'' jobs", "SOURCE is empty"),
            ("jobs --limit 0", "--limit: '0' is no number from 1 on"),
            ("jobs --filter =x", "--filter: HEADER=VALUE or TEXT is needed"),
            ("jobs --filter ''", "--filter: HEADER=VALUE or TEXT is needed"),
        ):
            self.assert_refused(f"move {arguments}", text)


class InterruptedMoveTests(MoveCase):
    """Nothing is lost, and running it again does the rest."""

    def test_ctrl_c(self) -> None:
        """Ctrl-C waits for the confirms of what was sent, and acknowledges that."""
        self.kill("a", "b")
        self.broker.hold_confirms()
        ran = self.begin("move dead --limit 1")
        codes: list[int] = []
        ran.code.addCallback(codes.append)
        ran.code.cancel()
        self.flush()
        self.assertEqual(codes, [])
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(codes, [130])
        self.assertEqual(ran.err, "moved 1 message from 'dead' to 'work'\n")
        self.run_command("move dead")
        self.assertEqual(self.bodies_of("work"), ["a", "b"])

    def test_lost(self) -> None:
        """A lost connection ends it; what was not confirmed stays."""
        self.kill("a", "b")
        self.broker.hold_confirms()
        ran = self.begin("move dead")
        codes: list[int] = []
        ran.code.addCallback(codes.append)
        self.broker.drop()
        self.broker.release_confirms()
        self.advance(5)
        self.assertEqual(codes, [1])
        self.assertIn("moved no message from 'dead'\n", ran.err)
        self.assertEqual(self.bodies_of("dead"), ["a", "b"])

    def test_lost_while_holding(self) -> None:
        """Messages that are held would come again after a loss, so it ends, too."""
        self.kill(*"abcd")
        looked_at: list[Message] = []

        def lose_connection(message: Message) -> bool:
            looked_at.append(message)
            if len(looked_at) == 2:
                self.broker.drop()
            return False

        options = MoveOptions()
        options.parseOptions(["-b", "memory://x", "dead", "jobs"])
        options.connection = self.connect()
        options.filters.append(lose_connection)
        ran = Ran(b"")
        codes: list[int] = []
        working = carry_out("move", options, move, ran.streams)
        Deferred.fromCoroutine(working).addCallback(codes.append)
        self.advance(5)
        self.assertEqual((codes, len(looked_at)), ([1], 2))
        self.assertIn("the connection was lost: run it again", ran.err)
        self.assertEqual(self.bodies_of("dead"), list("abcd"))

    def test_refused(self) -> None:
        """What the other queue refuses stays, with the broker's reason."""
        full = Queue(
            "full", max_length=1, queue_arguments={"x-overflow": "reject-publish"}
        )
        self.result_of(full(self.connection).declare())
        self.kill("a", "b")
        ran = self.run_command("move dead full", code=1)
        self.assertIn("moved 1 message from 'dead' to 'full'\n", ran.err)
        self.assertIn("left 1 message: ", ran.err)
        self.assertEqual(self.bodies_of("dead"), ["b"])
