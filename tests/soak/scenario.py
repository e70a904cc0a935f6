"""Publish and consume while everything fails, and count what arrived."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from tests.soak.client import Client, Target
from tests.soak.faults import SOON, Faults
from tests.soak.figures import Figures, Plan
from txkombu import Consumer, Message, Producer, Queue
from txkombu.exceptions import Nacked, NotSupported

DEADLINE: Final = 180.0
"""Seconds that each publish has until its verdict."""
REFUSED_WAIT: Final = 0.1
"""Seconds until a refused message is published again."""
PATIENCE: Final = 60.0
"""Seconds without a message or a verdict, after which a run is given up."""


class Stalled(Exception):
    """Neither a message nor a verdict came for a long time."""


class Run:
    """
    One run: a publisher with C{retry=True}, a consumer that acks, and faults.

    @param target: a broker that nothing else uses meanwhile.
    @param seed: for the faults that are chosen at random.
    @param queue_type: of the queue.
    @param client: makes each of the two clients, as L{Client} does.
    @param faults: makes what makes the faults, as L{Faults} does.
    @ivar figures: what was counted so far.
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        plan: Plan,
        seed: int,
        queue_type: str | None = None,
        client: Callable[..., Any] = Client,
        faults: Callable[..., Any] = Faults,
    ) -> None:
        self._reactor = reactor
        self._target = target
        self._plan = plan
        self.figures = Figures(seed)
        self._queue = Queue(f"soak-{seed}", queue_type=queue_type)
        self._clients = {
            name: client(reactor, target, partial(self._on_lost, name))
            for name in ("publisher", "consumer")
        }
        self._publishing = self._clients["publisher"].connection
        self._consuming = self._clients["consumer"].connection
        self._seen: dict[int, str] = {}
        self._confirmed: set[int] = set()
        self._perhaps_taken: set[int] = set()
        self._faults = faults(
            reactor, target, plan, self.figures, self._clients, lambda: len(self._seen)
        )
        self._away_since: float | None = None
        self._heard_at = reactor.seconds()
        self._work: list[Deferred[Any]] = []

    async def run(self) -> Figures:
        """
        Do all of it.

        @raise Stalled: nothing came any more.
        """
        began = self._reactor.seconds()
        ticks = LoopingCall(self._look)
        ticks.clock = self._reactor
        ticks.start(SOON)
        try:
            await self._begin(self._exchange())
        except CancelledError:
            raise Stalled(f"nothing came for {PATIENCE:g} s: {self.figures}") from None
        finally:
            self._cancel()
            ticks.stop()
            for client in self._clients.values():
                await client.close()
            self._count(self._reactor.seconds() - began)
        return self.figures

    def _begin(self, coroutine: Any) -> Deferred[Any]:
        work = Deferred.fromCoroutine(coroutine)
        self._work.append(work)
        return work

    def _cancel(self) -> None:
        for work in self._work:
            work.addErrback(Failure.trap, CancelledError)
            work.cancel()

    # --- the program --------------------------------------------------------

    async def _exchange(self) -> None:
        await self._queue(self._publishing).declare()
        await Consumer(self._consuming, self._queue, callbacks=[self._handle]).consume()
        await deferToThread(self._target.sync)
        faults = [self._begin(each) for each in self._faults.programs()]
        await self._publish()
        self._faults.stop()
        await gatherResults(faults)
        while not self._confirmed <= self._seen.keys():
            await deferLater(self._reactor, SOON)
        with suppress(NotSupported):  # ActiveMQ deletes empty queues by itself
            await self._queue(self._publishing).delete()

    async def _publish(self) -> None:
        producer = Producer(self._publishing, routing_key=self._queue.name)
        verdicts = []
        number = 0
        while number < self._plan.messages or not self._faults.are_done:
            await producer.when_ready()
            sending = self._publish_one(producer, number)
            verdicts.append(Deferred.fromCoroutine(sending).addErrback(self._on_failed))
            number += 1
        await gatherResults(verdicts)

    async def _publish_one(self, producer: Producer, number: int) -> None:
        """Publish a number, again if it is refused, until it is confirmed."""
        options: dict[str, Any] = {}
        if self._plan.may_refuse:
            options["message_id"] = uuid4().hex
        while not await self._is_taken(producer, number, options):
            await deferLater(self._reactor, REFUSED_WAIT)
        self._confirmed.add(number)
        self._heard_at = self._reactor.seconds()

    async def _is_taken(
        self, producer: Producer, number: int, options: dict[str, Any]
    ) -> bool:
        """Publish a number; return whether the broker took it."""
        try:
            await producer.publish(number, retry=True, timeout=DEADLINE, **options)
        except Nacked as error:
            self.figures.refused += 1
            if not error.is_safe_to_repeat:
                self._perhaps_taken.add(number)
            if number not in self._perhaps_taken:  # then the next is no copy of any
                options["message_id"] = uuid4().hex
            return False
        return True

    def _on_failed(self, failure: Failure) -> None:
        self.figures.failed[repr(failure.value)] += 1

    def _handle(self, number: int, message: Message) -> object:
        self._heard_at = self._reactor.seconds()
        which = str(message.properties["message_id"])
        first = self._seen.get(number)
        if first is None:
            self._seen[number] = which
        else:
            self.figures.doubled += 1
            self.figures.unflagged += not message.redelivered and which != first
        return message.ack()

    # --- counting -----------------------------------------------------------

    def _on_lost(self, name: str) -> None:
        if not self._faults.is_broker_away:
            self.figures.cuts[name] += 1

    def _look(self) -> None:
        """Note how long nothing is consumed, and give up if nothing goes on."""
        now = self._reactor.seconds()
        if self._consuming.connected and self._consuming.is_consuming:
            self._away_since = None
        else:
            self._away_since = self._away_since or now
            since = max(self._away_since, self._faults.healed_at)
            self.figures.longest = max(self.figures.longest, now - since)
        if now - self._heard_at > PATIENCE:
            self._cancel()

    def _count(self, seconds: float) -> None:
        figures = self.figures
        figures.received = len(self._seen)
        figures.published = len(self._confirmed)
        figures.lost = len(self._confirmed - self._seen.keys())
        figures.seconds = seconds
