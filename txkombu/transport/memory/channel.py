"""Session channels of the memory broker."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ..._util.tags import TagsUpTo
from ..._util.validation import check_count, check_short_string
from ...entity import Queue
from ...exceptions import ConsumerCancelled
from ...interfaces import Delivery, ISessionChannel, ISessionChannelListener, Settlement
from . import method_ids as ids
from .arguments import read_consumer_priority
from .channel_state import OPEN, RELEASED
from .consumer import DeliveryEvent, MemoryConsumer, Move
from .direct_reply import REPLY_TO
from .errors import Refused, named
from .events import FinalReply, Notification
from .interfaces import SessionHost, Source
from .message import BrokerMessage
from .publishing import PublishingChannel
from .tables import carry_arguments


@implementer(ISessionChannel)
class MemoryChannel(PublishingChannel):
    """
    One channel of a session of the memory broker: the part that consumes.

    @ivar unsettled: what was handed out, by delivery tag, oldest first.
    @ivar consumers: by consumer tag.
    @ivar limit: how many unsettled messages its consumers may hold together, 0 without
        limit; C{held} is how many they do.
    @ivar starved: the consumers that wait for room below C{limit}, in the order of
        their turns.
    """

    def __init__(self, session: SessionHost, listener: ISessionChannelListener) -> None:
        super().__init__(session, listener)
        self.unsettled: dict[int, DeliveryEvent] = {}
        self.consumers: dict[str, MemoryConsumer] = {}
        self.limit = 0
        self.held = 0
        self.starved: OrderedDict[MemoryConsumer, None] = OrderedDict()
        self._tag = 0
        self._up_to = TagsUpTo()
        self._arrived_tag = 0

    # --- consuming -----------------------------------------------------------

    def basic_consume(
        self,
        queue: Queue,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        arguments: Mapping[str, object],
        prefetch_count: int,
        on_delivery: Callable[[Delivery], None],
        on_cancelled: Callable[[Exception], None],
    ) -> Deferred[None]:
        if not tag or tag in self.consumers:
            raise ValueError(f"a consumer needs a tag of its own, not {tag!r}")
        check_count("prefetch_count", prefetch_count, 0, 65535)
        check_short_string("consumer tag", tag)
        carried = carry_arguments(arguments, queue.name, tag)
        consumer = MemoryConsumer(
            self, tag, no_ack, exclusive, prefetch_count, on_delivery, on_cancelled
        )
        deferred = self._ask(
            ids.BASIC_CONSUME,
            lambda: self._attach(consumer, queue, carried),
            lambda _: self._abandon(consumer),
        )
        if self.consumers.get(tag) is consumer:
            consumer.queue.run()
        return deferred

    def _attach(
        self, consumer: MemoryConsumer, queue: Queue, arguments: Mapping[str, object]
    ) -> None:
        if queue.name == REPLY_TO:
            consumer.begin(self._new_reply_queue(consumer))
        else:
            found = self._queue(queue)
            if self.limit and found.meaning.quorum:
                about = named("queue", found.name, self._vhost.name)
                raise Refused(540, f"{about} does not support global qos", found.name)
            priority = read_consumer_priority(
                found.name, self._vhost.name, found.meaning.quorum, arguments
            )
            consumer.begin(found, priority)
        consumer.queue.add_consumer(consumer)
        self.consumers[consumer.tag] = consumer

    def _abandon(self, consumer: MemoryConsumer) -> None:
        """End a consumer whose start was cancelled; what is on its way goes back."""
        if self.consumers.get(consumer.tag) is consumer:
            self._detach(consumer)
        consumer.turn.step(Move.ABANDON)

    def _detach(self, consumer: MemoryConsumer) -> None:
        del self.consumers[consumer.tag]
        self.starved.pop(consumer, None)
        consumer.queue.remove_consumer(consumer)
        consumer.queue.run()

    def basic_cancel(self, tag: str) -> Deferred[None]:
        consumer = self.consumers.get(tag)
        if consumer is None:
            return succeed(None)
        self._detach(consumer)
        deferred: Deferred[None] = Deferred()
        self.stream.push(FinalReply(deferred))
        return deferred

    def cancel_from_broker(self, tag: str, reason: str) -> None:
        """
        Have the broker end a consumer by itself, as it does when a queue's node is
        lost.  Without effect if there is no such consumer.
        """
        consumer = self.consumers.get(tag)
        if consumer is not None:
            self._detach(consumer)
            self.consumer_ended(consumer, reason)

    def consumer_ended(self, consumer: MemoryConsumer, reason: str) -> None:
        """Forget a consumer that the broker has ended, and tell its owner."""
        self.consumers.pop(consumer.tag, None)
        self.starved.pop(consumer, None)
        error = ConsumerCancelled(
            f"the broker cancelled consumer {consumer.tag!r}: {reason}"
        )
        self.stream.push(Notification(consumer.on_cancelled, error))

    def basic_get(self, queue: Queue, no_ack: bool) -> Deferred[Delivery | None]:
        return self._ask(
            ids.BASIC_GET, lambda: self._get(queue, no_ack), self._give_back
        )

    def _get(self, queue: Queue, no_ack: bool) -> Delivery | None:
        found = self._queue(queue)
        message = found.pop_message()
        if message is None:
            return None
        self._tag += 1
        message.handed_out()
        handout = DeliveryEvent(self, found, None, self._tag, message)
        if not no_ack:
            self.unsettled[self._tag] = handout
            self.stream.push(handout)
        return handout.delivery()

    def _give_back(self, got: Delivery | None) -> None:
        if got is not None and got.tag in self.unsettled:
            self.nack(got.tag, False, True)

    def basic_qos(self, prefetch_count: int) -> Deferred[None]:
        check_count("prefetch_count", prefetch_count, 0, 65535)

        def limit() -> None:
            self.limit = prefetch_count
            self._feed_starved()

        return self._ask(ids.BASIC_QOS, limit)

    def basic_recover(self) -> Deferred[None]:
        return self._ask(
            ids.BASIC_RECOVER, lambda: self._finish(self._take_all(), _requeue)
        )

    def _feed_starved(self) -> None:
        """Have those go on that wait for room on the channel, while it has some."""
        starved = self.starved
        while starved and (not self.limit or self.held < self.limit):
            consumer, _ = starved.popitem(last=False)
            consumer.go_on()

    def send(self, consumer: MemoryConsumer, message: BrokerMessage) -> None:
        """Hand a message out to one of the consumers."""
        self._tag = tag = self._tag + 1
        message.handed_out()
        handout = DeliveryEvent(self, consumer.queue, consumer, tag, message)
        if not consumer.no_ack:
            self.unsettled[tag] = handout
            self.held += 1
        self.stream.push(handout)

    def arrived(self, handout: DeliveryEvent) -> bool:
        """Note that the owner sees a message; return whether it still wants it."""
        self._arrived_tag = handout.tag
        consumer = handout.consumer
        if consumer is not None and consumer.no_ack:
            return self._life.state in (OPEN, RELEASED)
        return handout.tag in self.unsettled

    # --- settling ------------------------------------------------------------

    def ack(self, tag: int, multiple: bool) -> Settlement:
        if not multiple:
            handout = self.unsettled.pop(tag, None)
            if handout is not None:
                self._free(handout)
                if self.starved:
                    self._feed_starved()
                if handout.queue.waiting.count:
                    handout.queue.run()
                return Settlement.SENT
        return self._settle(ids.BASIC_ACK, tag, multiple, lambda handouts: None)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> Settlement:
        return self._settle(
            ids.BASIC_NACK, tag, multiple, _requeue if requeue else _drop
        )

    def reject(self, tag: int, requeue: bool) -> Settlement:
        return self._settle(
            ids.BASIC_REJECT, tag, False, _requeue if requeue else _drop
        )

    def _settle(
        self,
        method: tuple[int, int],
        tag: int,
        multiple: bool,
        work: Callable[[list[DeliveryEvent]], None],
    ) -> Settlement:
        if self._life.state is RELEASED:
            return Settlement.SENT
        if self._life.state is not OPEN:
            return Settlement.STALE
        if not 0 < tag <= self._tag and not (multiple and tag == 0):
            unknown = Refused(406, f"unknown delivery tag {tag}")
            self._refuse(unknown.as_error(method))
            return Settlement.SENT
        tags = [tag] if tag in self.unsettled else []
        if multiple:
            # What is still on its way to the owner cannot be meant.
            last = min(tag or self._arrived_tag, self._arrived_tag)
            tags = self._up_to.find(last, self.unsettled) if last else []
        self._finish([self.unsettled.pop(each) for each in tags], work)
        return Settlement.SENT if tags else Settlement.STALE

    def _take_all(self) -> list[DeliveryEvent]:
        handouts = list(self.unsettled.values())
        self.unsettled.clear()
        return handouts

    def _finish(
        self, handouts: list[DeliveryEvent], work: Callable[[list[DeliveryEvent]], None]
    ) -> None:
        """Release capacity, settle, then resume delivery; in this order."""
        for handout in handouts:
            self._free(handout)
        work(handouts)
        self._go_on(dict.fromkeys(handout.queue for handout in handouts))

    def _free(self, handout: DeliveryEvent) -> None:
        consumer = handout.consumer
        if consumer is not None:
            self.held -= 1
            if not consumer.windowed:
                consumer.released()

    def _go_on(self, queues: Iterable[Source]) -> None:
        """Hand out what waits, as messages of these queues were settled."""
        if self.starved:
            self._feed_starved()
        for queue in queues:
            if queue.waiting.count:
                queue.run()

    def _hand_back(self) -> None:
        consumers = list(self.consumers.values())
        self.consumers.clear()
        self.starved.clear()
        for consumer in consumers:
            consumer.queue.remove_consumer(consumer)
        _requeue(self._take_all())
        for consumer in consumers:
            consumer.queue.run()

    def flush(self) -> None:
        """Do nothing: settlements take effect at once."""

    def when_flushed(self) -> Deferred[Settlement]:
        lives = self._life.state in (OPEN, RELEASED)
        return succeed(Settlement.SENT if lives else Settlement.STALE)


def _requeue(handouts: list[DeliveryEvent]) -> None:
    queues: dict[Source, list[BrokerMessage]] = {}
    for handout in handouts:
        queues.setdefault(handout.queue, []).append(handout.message)
    for queue, messages in queues.items():
        queue.requeue(messages)


def _drop(handouts: list[DeliveryEvent]) -> None:
    for handout in handouts:
        handout.queue.reject(handout.message)
