"""The consumers that share one session channel, and are started again on the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed

from .._util.batches import Batches
from .._util.timeouts import gather_results, with_timeout
from ..entity import Queue
from ..exceptions import KombuError
from ..interfaces import ISessionChannel, Returned, Settlement
from ..message import Message
from .connection_core import ConnectionCore
from .decoded_memory import DecodedMemory
from .opener import ChannelOpener
from .subscription import Subscription


class ConsumerGroup:
    """
    Start and end consumers on the session channels of one opener.

    @param connection: what the consumers belong to.
    @param memory: counts what their unsettled messages hold decoded.
    @param opener: opens the session channels; by default one of the group's own.
    @ivar subscriptions: the consumers by their tags.
    """

    def __init__(
        self,
        connection: ConnectionCore,
        memory: DecodedMemory,
        opener: ChannelOpener | None = None,
    ) -> None:
        self._connection = connection
        self.opener = opener or ChannelOpener(connection, self, memory)
        self.subscriptions: dict[str, Subscription] = {}
        self._batches = Batches()

    @property
    def is_consuming(self) -> bool:
        """Whether every consumer that was started runs at the broker."""
        return all(each.running for each in self.subscriptions.values())

    @property
    def last_error(self) -> Exception | None:
        """Why one of the consumers does not run, as far as is known."""
        told = (each.last_error for each in self.subscriptions.values())
        return next((error for error in told if error is not None), None)

    @property
    def holds_messages(self) -> bool:
        """Whether messages await settlement."""
        unacked = self.opener.unacked
        return unacked is not None and bool(unacked.unsettled)

    @property
    def unsettled(self) -> list[Message]:
        """The messages that await settlement, oldest first."""
        unacked = self.opener.unacked
        return [] if unacked is None else list(unacked.unsettled.values())

    def add_subscription(self, subscription: Subscription) -> None:
        """Have a consumer that was started here started again after a loss."""
        self.subscriptions[subscription.tag] = subscription
        self._connection.readers.add_reader(subscription, subscription.queue)

    def cancel(self, tag: str) -> Deferred[None]:
        """
        End a consumer; the messages it holds can still be settled.

        @return: fires when no more of its messages come; never fails.
        """
        subscription = self.subscriptions.pop(tag, None)
        if subscription is None:
            return succeed(None)
        subscription.stop()
        self._connection.readers.discard(subscription)
        self._forget_auto_deleted(subscription.queue)
        channel = self.opener.session_channel
        if channel is None:
            return succeed(None)
        connection = self._connection
        timeout = connection.operation_timeout
        return with_timeout(
            channel.basic_cancel(tag),
            connection.clock,
            timeout,
            "cancel",
            otherwise=None,
        )

    def _forget_auto_deleted(self, queue: Queue) -> None:
        """Forget what the broker deletes with the last consumer of its queue."""
        topology, readers = self._connection.topology, self._connection.readers
        if queue.auto_delete and not readers.has_readers(queue.name):
            server_named = topology.is_server_named(queue)
            topology.queue_deleted(queue.name)
            if server_named:
                queue.rename("")

    def cancel_all(self) -> Deferred[bool]:
        """
        End all consumers.

        @return: fires with whether the broker answered within 5 s; never fails.
        """
        cancels = [self.cancel(tag) for tag in list(self.subscriptions)]
        together = DeferredList(cancels, consumeErrors=True)
        answered = self.opener.in_time(together)
        return answered.addCallback(lambda results: results is not None)

    def recover(self) -> Deferred[None]:
        """Hand all unsettled messages back to their queues."""

        def recover(channel: ISessionChannel) -> Deferred[None]:
            unacked = self.opener.unacked
            if unacked is not None:
                unacked.lose_all()
            return channel.basic_recover()

        return self.opener.call("recover", recover)

    def flush(self) -> Deferred[Settlement]:
        """
        Write all settlements so far.

        @return: fires when they were handed to the socket.
        """
        channel = self.opener.session_channel
        if channel is None:
            return succeed(Settlement.STALE)
        flushed = channel.when_flushed()
        channel.flush()
        return flushed

    @inlineCallbacks
    def close(self, error: KombuError) -> Generator[Deferred[Any], Any, None]:
        """
        End all consumers, and close the session channel.

        @param error: what later operations fail with.
        @return: fires when it is closed; never fails.
        """
        if self.opener.closed is None:
            self.opener.begin_close(error)
            self.opener.stop_opening()
            answers = yield self.cancel_all()
            channel = self.opener.release()
            if channel is not None:
                closing = self.opener.in_time(channel.close())
                if answers:
                    yield closing

    # --- SessionChannelOwner ------------------------------------------------

    @property
    def has_consumers(self) -> bool:
        """Whether there are consumers."""
        return bool(self.subscriptions)

    needs_channel = has_consumers

    @inlineCallbacks
    def channel_up(
        self, opened: ISessionChannel
    ) -> Generator[Deferred[Any], Any, None]:
        """
        Start all consumers, without waiting for one before the next; a refused one
        tries again by itself.
        """
        waiting = deque(self.subscriptions.values())
        while waiting and self.opener.session_channel is opened:
            began = [
                each.start_again(opened) for each in self._batches.take_next(waiting)
            ]
            results = yield gather_results(began)
            for fine, cancelled in results:
                if not fine:
                    cancelled.raiseException()
            ended = sum(has_ended for _, has_ended in results)
            self._batches.batch_over(ended, len(results) - ended)

    def channel_lost(self, error: Exception) -> None:
        """
        Note that no consumer runs now.  Those that ran are started last the next time:
        a refusal of another one, which ends the channel again, then ends few of them.
        """
        for consumer in self.opener.take_begun():
            ran, tag = consumer.running, consumer.tag
            consumer.channel_lost()
            if ran and tag in self.subscriptions:
                self.subscriptions[tag] = self.subscriptions.pop(tag)

    def cannot_open(self, error: Exception) -> None:
        """Do nothing: consumers wait for the next session channel."""

    def returned(self, message: Returned) -> None:
        """Do nothing: a group with an opener of its own publishes nothing."""
