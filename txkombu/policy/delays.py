"""The policy that has messages wait in delay queues of the broker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from .._util.timeouts import all_done
from .._util.validation import check_count, check_seconds, milliseconds
from ..entity import Queue
from ..exceptions import DecodeError, NotSupported
from .failure_log import log_failure
from .hosting import HostedPolicy, PolicyHost
from .parking import DELAYS_HEADER, parking, settle_passed_on

if TYPE_CHECKING:
    from ..message import Message


class _DelayedPolicy:
    """Have messages wait in delay queues of the broker; made by L{delayed}."""

    def __init__(
        self, attempts: int | None, delays: Sequence[float], parking: HostedPolicy
    ) -> None:
        self._attempts = attempts
        self._delays = delays
        self._parking = parking

    def prepare(self, host: PolicyHost) -> Deferred[Any] | None:
        """Declare the delay queues of each queue, and the parking queue."""
        for queue in host.queues:
            kind = _kind_without_delays(queue)
            if kind:
                error = NotSupported(
                    f"on_failure=delayed(...) for {kind}",
                    host.transport_name,
                    "what waits could not return; use retry(...)",
                )
                return fail(error)
        declaring = [
            host.declare_queue(_delay_queue(queue, seconds))
            for queue in host.queues
            for seconds in dict.fromkeys(self._delays)
        ]
        parking = self._parking.prepare(host)
        if parking is not None:
            declaring.append(parking)
        return all_done(declaring)

    def decide(self, host: PolicyHost, message: Message, failure: Failure) -> object:
        """Publish the message to a delay queue, then acknowledge it."""
        made = _delays_of(message) + 1
        gives_up = self._attempts is not None and made >= self._attempts
        if gives_up or failure.check(DecodeError):
            return self._parking.decide(host, message, failure)
        seconds = self._delays[min(made, len(self._delays)) - 1]
        name = _delay_queue_name(message.queue_name, seconds)
        limit = "" if self._attempts is None else f" of {self._attempts}"
        fate = f"attempt {made}{limit}; it waits {seconds:g} s in queue {name!r}"
        log_failure(message, failure, fate, repeats=True)
        # With its history, a message that expired in its own queue before would seem
        # to go in a circle, and brokers drop such.
        headers = {DELAYS_HEADER: made}
        passing = host.pass_on(message, name, headers, with_deaths=False)
        return settle_passed_on(passing, message, f"delayed in queue {name!r}")


def delayed(
    attempts: int | None = 5,
    delays: Iterable[float] = (10.0, 60.0, 300.0),
    *,
    park: str | Queue,
) -> HostedPolicy:
    """
    Make a policy that has the broker hold each failed message for a while, and moves it
    to a parking queue at last.

    When the consumer starts, it declares for each of its queues, and each of the
    delays, a queue C{NAME.delay.MILLISECONDS}.  A message that expires there goes back
    to the end of its queue, also if this process has ended.  A message is acknowledged
    when the broker has confirmed its copy.

    The consumer does not start, but fails with L{NotSupported}, if its queue goes with
    it (exclusive, auto-delete, named by the broker), if its queue is a stream, or if
    the transport cannot declare such queues.

    @param attempts: how often a message is handled in all; C{None} is without end.
        The header C{x-delayed-count} counts; each one begins anew with what a L{retry}
        before this does.
    @param delays: seconds before the second attempt, the third, and so on; the last
        one is repeated.
    @param park: the parking queue, or the name of a durable one; it also gets what
        cannot be decoded, at once.
    """
    check_count("attempts", attempts, 1)
    waits = tuple(delays)
    if not waits:
        raise ValueError("delays must have at least one number of seconds")
    for seconds in waits:
        milliseconds("a delay", check_seconds("a delay", seconds), minimum=1)
    return _DelayedPolicy(attempts, waits, parking(park))


def _kind_without_delays(queue: Queue) -> str:
    """Say what a queue is if messages could not return to it; else C{""}."""
    if not queue.name:
        return "a queue that the broker names"
    if queue.auto_delete:
        kind = "exclusive" if queue.exclusive else "auto-delete"
        return f"the {kind} queue {queue.name!r}"
    is_stream = queue.arguments.get("x-queue-type") == "stream"
    return f"the stream {queue.name!r}" if is_stream else ""


def _delay_queue_name(queue: str, seconds: float) -> str:
    return f"{queue}.delay.{milliseconds('a delay', seconds)}"


def _delay_queue(queue: Queue, seconds: float) -> Queue:
    """Return the queue in which messages of another wait so long."""
    arguments = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue.name,
    }
    kind = queue.arguments.get("x-queue-type")
    if kind == "quorum":
        # Keep a message until the other queue has it.
        arguments["x-dead-letter-strategy"] = "at-least-once"
        arguments["x-overflow"] = "reject-publish"
    return Queue(
        _delay_queue_name(queue.name, seconds),
        durable=queue.durable,
        message_ttl=seconds,
        queue_arguments=arguments,
        queue_type=None if kind is None else str(kind),
    )


def _delays_of(message: Message) -> int:
    """Return how often a message waited in a delay queue."""
    count = message.headers_or_empty.get(DELAYS_HEADER)
    return max(0, count) if isinstance(count, int) else 0
