"""
A dependency of a handler that is away for a while, or for good, in virtual time.
"""

from __future__ import annotations

from collections import Counter

from twisted.logger import LogLevel, capturedLogs

from txkombu import Consumer, Message, Producer, Queue
from txkombu.policy import default, delayed, park, retry
from txkombu.policy.hosting import FailurePolicy, HostedPolicy
from txkombu.testing import BrokerTestCase

COUNT = 2000
"""How many messages there are."""
PREFETCH = 100
"""How many of them the consumer may have."""
HOURS = 2 * 3600
"""For good, as far as a test can tell."""
TEN_MINUTES = 600
"""Long enough for all messages to have failed for good."""
LONGEST = 600
"""Seconds of the longest wait of the default policy."""
ATTEMPTS = 5
"""How often it calls a handler before that."""
ATTEMPTED = 15
"""Seconds that these attempts take."""

DEAD_LETTERS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


class OutageTests(BrokerTestCase):
    """
    Nothing is lost, nobody is busy, and work goes on soon after the end.

    @ivar back_at: when the dependency is there again.
    @ivar calls: how often the handler was called in vain, by the second.
    @ivar handled: the messages that were handled.
    """

    def setUp(self) -> None:
        super().setUp()
        self.back_at = 0.0
        self.calls: Counter[int] = Counter()
        self.handled: set[object] = set()
        for name in ("dead", "parked"):
            self.result_of(Queue(name)(self.connection).declare())

    def handle(self, body: object, message: Message) -> None:
        """The handler."""
        now = self.clock.seconds()
        if now < self.back_at:
            self.calls[int(now)] += 1
            raise ConnectionError("the database is away")
        self.handled.add(body)
        message.ack()

    def outage(
        self, queue: Queue, policy: FailurePolicy | HostedPolicy, seconds: float
    ) -> int:
        """
        Publish all, start the consumer as the outage begins, and let it pass.

        @return: how many lines were logged.
        """
        self.back_at = self.clock.seconds() + seconds
        producer = Producer(self.connect())
        publishing = producer.publish_all(
            range(COUNT), routing_key=queue.name, declare=[queue]
        )
        self.result_of(publishing)
        consumer = Consumer(
            self.connection,
            queue,
            callbacks=[self.handle],
            on_failure=policy,
            prefetch_count=PREFETCH,
        )
        with capturedLogs() as events:
            self.result_of(consumer.consume())
            self.advance(seconds)
        self.flushLoggedErrors(ConnectionError)
        return sum(each["log_level"] >= LogLevel.info for each in events)

    def check_all_handled(self, seconds: float) -> None:
        """So many seconds later all were handled, and the queues are empty."""
        self.advance(seconds)
        self.flushLoggedErrors(ConnectionError)
        self.assertEqual(self.handled, set(range(COUNT)))
        self.assertEqual(self.broker.waiting_in("dead"), 0)
        self.assertEqual(self.broker.waiting_in("parked"), 0)

    def check_all_in(self, name: str) -> None:
        """All messages that were not handled are in a queue, each once."""
        found: list[object] = []
        queue = Queue(name)(self.connection)
        while (message := self.result_of(queue.get(no_ack=True))) is not None:
            found.append(message.payload)
        self.assertEqual(len(found), COUNT - len(self.handled))
        self.assertEqual(self.handled | set(found), set(range(COUNT)))

    def test_minute(self) -> None:
        """
        By default each message was tried at most five times in a minute, and some are
        at once when it is over; all are within a delay.
        """
        lines = self.outage(Queue("work"), default, 60)
        rounds = 1 + 60 // (ATTEMPTED + 30)
        self.assertLessEqual(self.calls.total(), PREFETCH * ATTEMPTS * rounds)
        self.assertLessEqual(lines, 60 / 10 + 2)
        self.check_all_handled(30)

    def test_for_good(self) -> None:
        """
        So it is after hours: the calls have become few, and there is a line in ten
        seconds at most; whenever it ends, all are handled within the longest delay.
        """
        lines = self.outage(Queue("work"), default, HOURS)
        rounds = 2 + HOURS / (ATTEMPTED + 30)
        self.assertLess(self.calls.total(), PREFETCH * ATTEMPTS * rounds)
        self.assertLessEqual(max(self.calls.values()), 2 * PREFETCH)
        late = [self.calls[each] for each in range(HOURS - LONGEST, HOURS)]
        self.assertGreater(sum(late), 0)
        self.assertLessEqual(sum(late), 2 * PREFETCH * ATTEMPTS)
        self.assertLessEqual(lines, HOURS / 10 + 2)
        self.check_all_handled(LONGEST)

    def test_dead_letters(self) -> None:
        """
        With a dead letter exchange each message is there after five attempts; the log
        has a line for each, and one in ten seconds.
        """
        work = Queue("work", queue_arguments=DEAD_LETTERS)
        lines = self.outage(work, default, TEN_MINUTES)
        self.assertEqual(self.calls.total(), COUNT * ATTEMPTS)
        self.assertLessEqual(lines, COUNT + COUNT / PREFETCH * ATTEMPTED / 10 + 2)
        self.assertEqual(self.handled, set())
        self.check_all_in("dead")

    def test_dead_letters_of_a_minute(self) -> None:
        """What was not dead-lettered by its end is handled."""
        work = Queue("work", queue_arguments=DEAD_LETTERS)
        self.outage(work, default, 60)
        self.advance(8)
        self.flushLoggedErrors(ConnectionError)
        self.assertGreater(len(self.handled), COUNT // 2)
        self.check_all_in("dead")

    def test_park(self) -> None:
        """With a parking queue the messages are there."""
        self.outage(Queue("work"), retry(then=park("parked")), TEN_MINUTES)
        self.assertEqual(self.calls.total(), COUNT * ATTEMPTS)
        self.check_all_in("parked")

    def test_delayed(self) -> None:
        """
        With delay queues all messages are tried in turn, as often as the policy says;
        they are handled as soon as their delay ends after the outage.
        """
        policy = delayed(5, [1, 5, 30], park="parked")
        lines = self.outage(Queue("work"), policy, 60)
        self.assertEqual(self.calls.total(), COUNT * 4)
        self.assertLessEqual(lines, 60 / 10 + 2)
        self.check_all_handled(30)

    def test_delayed_for_good(self) -> None:
        """After the last attempt they are parked."""
        policy = delayed(2, [60], park="parked")
        self.outage(Queue("work"), policy, 90)
        self.assertEqual(self.calls.total(), COUNT * 2)
        self.check_all_in("parked")
