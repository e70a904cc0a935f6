"""
Decide what becomes of the messages of a consumer whose handling failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .._util.failure_record import FailureRecord
from .._util.steady_clock import steady
from ..core.channel import Channel
from ..entity import Queue
from ..exceptions import NotSupported
from ..message import Message
from ..policy import FailurePolicy, RetryPolicy, Verdict, circle
from ..policy.hosting import HostedPolicy, decided, prepared
from .producer import Producer

_OF_A_QUEUE: Final = ("x-delivery-count", "x-acquired-count")
"""Headers that say how often a message was delivered from a queue."""


class FailureHandling:
    """
    Apply the failure policy of a consumer, or the verdict that its handler raised.

    @param channel: where policies declare and publish.
    @param policy: returns the consumer's failure policy.
    @param halt: ends the consumer because of an error.
    """

    _log = Logger()

    def __init__(
        self,
        channel: Channel,
        policy: Callable[[], FailurePolicy | HostedPolicy],
        halt: Callable[[Exception], None],
    ) -> None:
        self._channel = channel
        self._policy = policy
        self._record = FailureRecord(steady(channel.core.connection.clock))
        self._producer: Producer | None = None
        self._warned: set[str] = set()
        self.halt = halt
        self.queues: Sequence[Queue] = ()

    def decide(self, message: Message, failure: Failure) -> object:
        """Decide on a message as a L{FailurePolicy} does."""
        message.use_failure_record(self._record)
        error = failure.value
        policy = error.policy() if isinstance(error, Verdict) else self._policy()
        return decided(policy, self, message, failure)

    def prepare(self, queues: list[Queue]) -> Deferred[Any] | None:
        """
        Have the policy declare what it needs, and warn of queues whose messages it can
        only try for ever.
        """
        self.queues = queues
        policy = self._policy()
        while isinstance(policy, RetryPolicy):
            policy = policy.then
        if policy is circle:
            for queue in queues:
                self._warn(queue)
        return prepared(self._policy(), self)

    def _warn(self, queue: Queue) -> None:
        arguments = queue.arguments
        if queue.name in self._warned or "x-dead-letter-exchange" in arguments:
            return
        self._warned.add(queue.name)
        more = ""
        if queue.queue_type == "quorum" and "x-delivery-limit" not in arguments:
            more = (
                "; RabbitMQ 4 drops what this quorum queue delivered more than 20 "
                "times, unless it is declared with "
                "queue_arguments={{'x-delivery-limit': -1}}"
            )
        self._log.warn(
            "{queue} has no dead letter exchange: a message whose handler "
            "keeps failing is tried again for ever. Declare it with "
            "queue_arguments={{'x-dead-letter-exchange': ...}}, or give its consumer "
            "on_failure=retry(then=park('...'))" + more,
            queue=f"Queue {queue.name!r}" if queue.name else "A queue without a name",
        )

    # --- PolicyHost ---------------------------------------------------------

    def declare_queue(self, queue: Queue) -> Deferred[Any]:
        """Declare a queue on the consumer's channel."""
        return queue(self._channel).declare()

    @property
    def transport_name(self) -> str:
        """The URL scheme of the transport."""
        return self._channel.core.connection.settings.transport_name

    def pass_on(
        self,
        message: Message,
        queue: str,
        headers: Mapping[str, object],
        *,
        with_deaths: bool = True,
    ) -> Deferred[None]:
        """
        Publish a message as it is to a queue, where it does not expire; fires when the
        broker has it.
        """
        if self._producer is None:
            self._producer = Producer(self._channel, auto_declare=False)
        forward = partial(
            self._producer.forward,
            message,
            exchange="",
            routing_key=queue,
            headers={**dict.fromkeys(_OF_A_QUEUE), **headers},
            with_deaths=with_deaths,
            with_expiration=False,
        )

        def not_mandatory(failure: Failure) -> Deferred[None]:
            failure.trap(NotSupported)
            looking = Queue(queue)(self._channel).queue_declare(passive=True)
            looking.addErrback(lambda failure: failure.trap(NotSupported) and None)
            return looking.addCallback(lambda _: forward())

        # What has unreadable properties cannot be published: that raises.
        return maybeDeferred(forward, mandatory=True).addErrback(not_mandatory)
