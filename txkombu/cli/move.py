"""C{txkombu move}: move the messages of a dead-letter or parking queue back."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred
from twisted.python import usage
from twisted.python.failure import Failure

from .._util.waiters import Waiters
from ..entity import Queue
from ..exceptions import (
    BrokerError,
    DecodeError,
    Nacked,
    Outcome,
    SessionLost,
    Unroutable,
)
from ..interfaces import Capability, Settlement
from ..message import Message
from ..messaging import Producer
from .command import DONE, CommandFailed, can, counted
from .options import BrokerOptions, OptionTable, count_of, value_of
from .origin import PARKING_HEADERS, origin_of, routing_keys_of
from .progress import Progress
from .streams import Streams

_WINDOW: Final = 100
"""How many messages may be on their way."""

_GETS: Final = 20
"""How many messages are asked for at a time."""

_LOST: Final = (
    "the connection was lost: run it again for the rest; messages that were moved just "
    "before may be in both queues"
)

Filter = Callable[[Message], bool]


class MoveOptions(BrokerOptions):
    """
    What to move.

    @ivar source: the name of the queue.
    @ivar destination: the name of the other queue; C{None} for that of each message.
    @ivar limit: how many messages; 0 for all.
    @ivar filters: all of which a message has to pass.
    """

    synopsis = "SOURCE [DESTINATION] [options]"
    longdesc = (
        "Moves what is in a queue now to another one; without DESTINATION each message "
        "goes back to the queue where it was dead-lettered or parked.  A message is "
        "acknowledged when the broker has confirmed its copy: interrupt it, and run it "
        "again, as you like."
    )
    example = "move parked --filter x-exception='no database'"
    optParameters: ClassVar[OptionTable] = (
        ("limit", "n", None, "Move so many messages at most."),
    )

    def __init__(self) -> None:
        super().__init__()
        self.filters: list[Filter] = []

    def parseArgs(self, source: str, destination: str | None = None) -> None:  # type: ignore[override]  # Twisted passes what was given
        """
        Take the queues.

        @param source: the name of the one with messages.
        @param destination: the name of the other.
        """
        self.source = source
        self.destination = destination

    def opt_filter(self, text: str) -> None:
        """Only with this HEADER=VALUE, or TEXT in the routing key."""
        name, found, value = text.partition("=")
        if not text or (found and not name):
            raise usage.UsageError("--filter: HEADER=VALUE or TEXT is needed")
        self.filters.append(_has_header(name, value) if found else _has_key(text))

    def postOptions(self) -> None:
        """Check them."""
        super().postOptions()
        given = self["limit"]
        self.limit = 0 if given is None else count_of("--limit", given)
        if self.destination == self.source:
            raise usage.UsageError("SOURCE and DESTINATION are the same queue")
        for what, name in (("SOURCE", self.source), ("DESTINATION", self.destination)):
            if name == "":
                raise usage.UsageError(f"{what} is empty")


def _has_header(name: str, value: str) -> Filter:
    wanted = (value, value_of(value))

    def passes(message: Message) -> bool:
        found = message.headers_or_empty.get(name)
        return found is not None and (found in wanted or str(found) == value)

    return passes


def _has_key(text: str) -> Filter:
    return lambda message: any(text in key for key in routing_keys_of(message))


async def move(options: MoveOptions, streams: Streams) -> int:
    """Move the messages, and tell what became of them."""
    queue = Queue(options.source)(options.connection)
    total = None
    if await can(options.connection, Capability.QUEUE_PASSIVE):
        total = (await queue.queue_declare(passive=True)).message_count
        if options.destination:
            destination = Queue(options.destination)(options.connection)
            await destination.queue_declare(passive=True)
    mover = _Mover(options, await can(options.connection, Capability.MANDATORY))
    progress = Progress(streams, "messages moved", total)
    try:
        await mover.move(queue, total, progress)
    except Exception:
        await mover.when_settled()
        raise
    finally:
        mover.stop_getting()
        progress.clear()
        for line in mover.summary():
            streams.tell(line)
    if mover.lost is not None:
        raise mover.lost
    if mover.refused:
        raise CommandFailed(next(iter(mover.refused)))
    return DONE


class _Mover:
    """
    Moves messages and counts them.

    Those that stay are held until the end: what goes back into its queue would come
    again.

    @ivar refused: why messages stayed that were to be moved, and how often.
    @ivar lost: the error that ended it early.
    """

    def __init__(self, options: MoveOptions, mandatory: bool) -> None:
        self._options = options
        self._mandatory = mandatory
        self._producer = Producer(options.connection)
        self._moved: Counter[str] = Counter()
        self._others = 0
        self._begun = 0
        self._open = 0
        self._first: Message | None = None
        self._gets: deque[Deferred[Message | None]] = deque()
        self._changed: Waiters[None] = Waiters()
        self.refused: Counter[str] = Counter()
        self.lost: BaseException | None = None

    async def move(self, queue: Queue, total: int | None, progress: Progress) -> None:
        """
        Move messages until there are no more.

        @param total: no more messages than this are looked at, so that what comes back
            is not moved again and again.
        """
        seen = 0
        while self.lost is None:
            # Where nothing is counted, a second get may overtake the first.
            while len(self._gets) < (1 if total is None else _GETS):
                if seen + len(self._gets) == total or not self._has_room():
                    break
                self._gets.append(queue.get())
            if not self._gets:
                if not self._open:
                    break
                await self._changed.wait()  # what is refused leaves room for others
                continue
            try:
                message = await self._gets.popleft()
            except SessionLost:
                self.lost = CommandFailed(_LOST)
                break
            if self._has_lost_messages():
                self.lost = CommandFailed(_LOST)
                break
            if message is None:
                break
            seen += 1
            self._first = self._first or message
            self._take(message)
            progress.show(self._moved.total(), seen)
            while self._open >= _WINDOW:
                await self._changed.wait()
        await self.when_settled()

    def _has_room(self) -> bool:
        """Return whether the limit allows to get one more message."""
        limit = self._options.limit
        wanted = self._begun - self.refused.total() + len(self._gets)
        return not limit or wanted < limit

    def stop_getting(self) -> None:
        """Have messages that come now handed back."""
        while self._gets:
            self._gets.popleft().addErrback(lambda _: None).cancel()

    def _has_lost_messages(self) -> bool:
        """Return whether the messages that are held are back, and would come again."""
        return self._first is not None and self._first.is_back

    async def when_settled(self) -> None:
        """Wait for the verdicts on what is on its way."""
        while self._open:
            await self._changed.wait()

    def _take(self, message: Message) -> None:
        if not all(passes(message) for passes in self._options.filters):
            self._others += 1
            return
        origin = origin_of(message, self._options.source)
        destination = self._options.destination or origin
        self._begun += 1
        if not destination:
            self.refused[
                "the headers do not tell where it came from: give a DESTINATION"
            ] += 1
            return
        self._open += 1
        self._forward(message, destination, destination == origin).addCallbacks(
            self._confirmed, self._failed, (message, destination), {}, (destination,)
        ).addBoth(self._over)

    def _forward(
        self, message: Message, destination: str, goes_back: bool
    ) -> Deferred[None]:
        try:
            return self._producer.forward(
                message,
                exchange="",
                routing_key=destination,
                # Back where it was it begins anew, with all its attempts.
                headers=PARKING_HEADERS if goes_back else None,
                with_deaths=not goes_back,
                with_expiration=False,
                mandatory=self._mandatory,
            )
        except (DecodeError, ValueError, TypeError) as error:
            failed: Deferred[None] = Deferred()
            failed.errback(error)
            return failed

    def _confirmed(self, _: object, message: Message, destination: str) -> None:
        self._moved[destination] += 1
        message.ack().addCallback(self._acknowledged)

    def _acknowledged(self, settlement: Settlement) -> None:
        if settlement is Settlement.STALE and self.lost is None:
            self.lost = CommandFailed(_LOST)

    def _failed(self, failure: Failure, destination: str) -> None:
        error: Any = failure.value
        is_verdict = isinstance(error, Unroutable | Nacked | DecodeError | BrokerError)
        refused = is_verdict and getattr(error, "outcome", None) is not Outcome.UNKNOWN
        if isinstance(error, Unroutable):
            self.refused[f"there is no queue {destination!r}"] += 1
        elif refused or isinstance(error, ValueError | TypeError):
            self.refused[f"{error} (to queue {destination!r})"] += 1
        elif self.lost is None:
            self.lost = error

    def _over(self, _: object) -> None:
        self._open -= 1
        self._changed.fire(None)

    def summary(self) -> list[str]:
        """Say what became of the messages, in one line for each kind."""
        source = self._options.source
        lines = [
            f"moved {counted(count)} from {source!r} to {queue!r}"
            for queue, count in self._moved.items()
        ] or [f"moved no message from {source!r}"]
        if self._others:
            lines.append(f"left {counted(self._others)}: the filter does not let pass")
        for why, count in self.refused.items():
            lines.append(f"left {counted(count)}: {why}")
        return lines
