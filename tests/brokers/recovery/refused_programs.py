"""
Programs over all transports, which publish and consume all the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import TestCase

from tests.support.rabbitmq import HOST, rabbitmq
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.core.lifecycle import State
from txkombu.exceptions import (
    KombuError,
    NotSentInTime,
    Outcome,
)
from txkombu.policy import ReconnectPolicy

AMQP = ("amqp", "txamqp", "pika")
EVERY = 0.05
"""Seconds between two publishes of a program."""
IMPATIENT = 0.5
"""The deadline of its publishes without C{retry=True}."""
SOON = ReconnectPolicy(first=0.4, max=1)
QUIET = 1.0
"""How long the programs are watched while something is refused."""
CPU = 0.5
"""Seconds of CPU time that all programs together may use in that time."""
LINES = 100
"""How many lines they may log in that time."""

_GRANT = """
rabbit_vhost:exists(<<"{vhost}">>) orelse rabbit_vhost:add(<<"{vhost}">>, <<"tests">>),
rabbit_auth_backend_internal:exists(<<"{user}">>) orelse
    rabbit_auth_backend_internal:add_user(<<"{user}">>, <<"secret">>, <<"tests">>),
[rabbit_auth_backend_internal:set_permissions(
    User, <<"{vhost}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>)
    || User <- [<<"{user}">>, <<"guest">>]]
"""
"""
Makes the virtual host and the user, as far as they are missing.
"""


class Party:
    """
    A program that publishes numbers and consumes them.

    Even numbers are published with C{retry=True}; odd ones have a short deadline, and
    are mandatory where the transport can do that.

    @ivar exchange: where it publishes to.
    @ivar queue: the queue that it consumes from, bound to the exchange.
    @ivar publishing: the connection of its producer.
    @ivar consuming: the connection of its consumer.
    @ivar published: how many numbers it has published.
    @ivar confirmed: the numbers that the broker has confirmed.
    @ivar received: the numbers that its handler has acknowledged.
    @ivar again: the numbers that came again.
    @ivar errors: what publishes failed with, by number.
    @ivar ended: what C{on_cancel} was called with.
    @ivar states: the states of its publishing connection.
    @ivar seconds: how long its handler takes.
    """

    def __init__(self, scheme: str, url: str, declares: bool) -> None:
        """@param declares: whether the queue is among what each publish declares."""
        self.scheme = scheme
        self.exchange = Exchange(f"ex-{scheme}")
        self.queue = Queue(f"q-{scheme}", self.exchange, "key")
        self.states: list[State] = []
        self.publishing = BrokerConnection(
            url, reconnect=SOON, on_state=self.states.append
        )
        self.consuming = BrokerConnection(url, reconnect=SOON)
        self.producer = Producer(self.publishing, self.exchange, routing_key="key")
        self.declare = [self.queue] if declares else None
        self.published = 0
        self.confirmed: set[int] = set()
        self.received: set[int] = set()
        self.again: set[int] = set()
        self.errors: dict[int, KombuError] = {}
        self.ended: list[Exception] = []
        self.seconds = 0.0
        self._pausing = 0
        self.consumer = Consumer(
            self.consuming,
            self.queue,
            on_message=self.receive,
            on_cancel=lambda tag, error: self.ended.append(error),
        )
        self._publishing = LoopingCall(self.publish)

    def start_publishing(self) -> None:
        """Publish from now on."""
        self._publishing.start(EVERY)

    async def receive(self, message: Message) -> None:
        """The handler."""
        number = int(str(message.payload))
        if message.redelivered:
            self.again.add(number)
        if self.seconds:
            self._pausing += 1
            await pause(self.seconds)
            self._pausing -= 1
        self.received.add(number)
        await message.ack()

    def publish(self) -> None:
        """Publish the next number."""
        number, self.published = self.published, self.published + 1
        odd = number % 2 == 1
        sending = self.producer.publish(
            number,
            retry=not odd,
            timeout=IMPATIENT if odd else 60,
            mandatory=odd and self.scheme in AMQP,
            declare=self.declare,
        )

        def failed(failure: Any) -> None:
            self.errors[number] = failure.value

        sending.addCallbacks(lambda _: self.confirmed.add(number), failed)

    def failed_with(self, kind: type[KombuError]) -> list[int]:
        """Return the numbers whose publish failed with such an error."""
        return [each for each in self.errors if isinstance(self.errors[each], kind)]

    @property
    def is_well(self) -> bool:
        """Whether it says so."""
        errors = (self.publishing.last_error, self.consuming.last_error)
        blocked = self.publishing.blocked_reason
        return self.consuming.is_consuming and not any(errors) and not blocked

    def drop(self) -> None:
        """Lose both connections."""
        self.publishing.drop()
        self.consuming.drop()

    async def close(self) -> None:
        """Stop."""
        if self._publishing.running:
            self._publishing.stop()
        self.seconds = 0.0
        await gatherResults([self.publishing.close(), self.consuming.close()])
        while self._pausing:
            await pause(0.02)


async def pause(seconds: float) -> None:
    """Let time pass."""
    clock: Any = reactor
    await deferLater(clock, seconds)


class Refused(TestCase):
    """
    What programs see, and that they go on.

    @ivar parties: the programs of the case.
    @ivar admin: a connection of somebody with all permissions.
    """

    timeout = 240

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits
        return Deferred.fromCoroutine(self.set_up())

    async def set_up(self) -> None:
        """Make a virtual host and a user for the case."""
        self.broker = rabbitmq()
        self.vhost, self.user = f"v-{uuid4().hex[:8]}", f"u-{uuid4().hex[:8]}"
        self.parties: list[Party] = []
        await self.grant()
        self.admin = BrokerConnection(f"{self.broker.url}/{self.vhost}")

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]  # trial waits
        return Deferred.fromCoroutine(self.clean_up())

    async def clean_up(self) -> None:
        """Stop the programs; the virtual host goes with the broker."""
        await gatherResults(
            [Deferred.fromCoroutine(each.close()) for each in self.parties]
        )
        await self.admin.close()

    async def grant(self) -> None:
        """Have the virtual host, and the user with all permissions."""
        code = _GRANT.format(vhost=self.vhost, user=self.user)
        await deferToThread(self.broker.evaluate, code)

    async def permit(self, configure: str, write: str, read: str) -> None:
        """Set the user's permissions."""
        arguments = (self.user, self.vhost, configure, write, read)
        await deferToThread(self.broker.permit, *arguments)

    async def begin(
        self,
        schemes: tuple[str, ...] = (*AMQP, "stomp"),
        declares: bool = False,
        consumes: bool = True,
    ) -> None:
        """Start a program over each transport, and wait until all of them work."""
        for scheme in schemes:
            broker = self.broker
            port = broker.stomp_port if scheme == "stomp" else broker.amqp_port
            place = f"{self.user}:secret@{HOST}:{port}/{self.vhost}"
            self.parties.append(Party(scheme, f"{scheme}://{place}", declares))
        if consumes:
            await gatherResults([each.consumer.consume() for each in self.parties])
        for each in self.parties:
            each.start_publishing()
        await self.all(lambda each: len(each.confirmed) > 2, "published")
        if consumes:
            await self.all(lambda each: len(each.received) > 2, "received")

    async def all(self, holds: Callable[[Party], object], what: str) -> None:
        """Wait until something holds for each program."""
        limit = time.monotonic() + 60
        for each in self.parties:
            while not holds(each):
                if time.monotonic() > limit:
                    self.fail(f"{each.scheme}: waited in vain until it {what}")
                await pause(0.02)

    async def stays_quiet(self) -> None:
        """Check that the programs neither keep the CPU busy, nor fill the log."""
        began = time.process_time()
        with capturedLogs() as events:
            await pause(QUIET)
        self.assertLess(time.process_time() - began, CPU)
        lines = [each for each in events if each["log_level"] >= LogLevel.info]
        self.assertLess(len(lines), LINES)

    async def goes_on(self) -> None:
        """
        Wait until each program publishes and consumes again, and has received all
        that was confirmed; it then says that all is well.
        """
        before = {each: each.published for each in self.parties}
        await self.all(
            lambda each: any(number > before[each] + 2 for number in each.confirmed),
            "published again",
        )
        await self.all(
            lambda each: any(number > before[each] + 2 for number in each.received),
            "received again",
        )
        await self.all(lambda each: each.is_well, "said that all is well")

    async def nothing_is_lost(self) -> None:
        """Wait until all that was confirmed so far was received."""
        wanted = {each: set(each.confirmed) for each in self.parties}
        await self.all(lambda each: wanted[each] <= each.received, "had all")

    def check_refused(self, *kinds: type[KombuError]) -> None:
        """Check that publishes failed with nothing but that, and nobody has them."""
        for each in self.parties:
            for error in each.errors.values():
                self.assertIsInstance(error, kinds)
                self.assertEqual(error.outcome, Outcome.REFUSED)
                self.assertTrue(error.is_safe_to_repeat)

    async def are_locked_out(self, *error: type[Exception]) -> None:
        """
        Wait until no program gets a connection; publishes wait to their deadlines.

        @param error: what connecting fails with.
        """
        await self.all(
            lambda each: (
                isinstance(each.publishing.last_error, error)
                and isinstance(each.consuming.last_error, error)
                and each.failed_with(NotSentInTime)
            ),
            "was locked out, and failed to publish in time",
        )
        await self.stays_quiet()
        for each in self.parties:
            self.assertIn(State.WAITING, each.states)
            self.assertFalse(each.consuming.is_consuming)
