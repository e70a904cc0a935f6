"""
A STOMP session without a network: sockets that do what a test says, and a dialect
that is easy to read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.contract.harness import ChannelWatcher, Journal, Probe, SessionWatcher
from txkombu._util.waiters import Waiters
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import ConnectError, SessionLost
from txkombu.interfaces import Capability, Delivery, Properties
from txkombu.transport.stomp.connections import ConnectionPool, SilentOwner
from txkombu.transport.stomp.declarations import Declarations
from txkombu.transport.stomp.dialect import (
    BoundQueue,
    ConsumeOptions,
    Dialect,
    GetResult,
    Source,
    StompBinding,
)
from txkombu.transport.stomp.session import StompSession
from txkombu.transport.stomp.wire.frames import encode_frame
from txkombu.transport.stomp.wire.parser import Frame


class FakeSocket:
    """
    A socket whose broker is the test.

    @ivar frames: what was written, decoded, each as its command and headers.
    @ivar declared: what may be declared only once on it, and was.
    @ivar left: C{close} was called.
    @ivar dropped: C{abort} was called.
    """

    def __init__(self, owner: Any, prompt: bool) -> None:
        self.owner = owner
        self.prompt = prompt
        self.name = f"fake{id(self)}"
        self.declared: set[str] = set()
        self.server = "Toy/1.0"
        self.alive = True
        self.frames: list[str] = []
        self.left = self.dropped = False
        self.subscribed: dict[str, tuple[Callable[[Frame], Any], Callable[..., Any]]]
        self.subscribed = {}
        self._receipts: dict[str, Deferred[None]] = {}
        self._waiters: dict[str, Callable[[Exception | None], object]] = {}
        self._number = self._subscriptions = 0
        self._gone: Waiters[None] = Waiters()

    # --- what the session calls ----------------------------------------------

    def write(self, frames: bytes) -> None:
        for frame in frames.split(b"\0"):
            if frame and self.alive:
                self.frames.append(frame.decode())
        if self.prompt:
            self.answer_all()

    def write_message(self, head: bytes, body: bytes) -> None:
        self.write(head + body)

    def receipt(self) -> tuple[str, Deferred[None]]:
        if not self.alive:
            return "", fail(SessionLost("dead"))
        self._number += 1
        receipt = self._receipts[str(self._number)] = Deferred(lambda _: None)
        return str(self._number), receipt

    def expect(self, waiter: Callable[[Exception | None], object]) -> str:
        self._number += 1
        self._waiters[str(self._number)] = waiter
        return str(self._number)

    def forget(self, number: str) -> None:
        self._waiters.pop(number, None)

    def request(
        self, command: str, *headers: tuple[str, str], before: bytes = b""
    ) -> Deferred[None]:
        number, handled = self.receipt()
        if number:
            frame = encode_frame(command, (*headers, ("receipt", number)))
            self.write(before + frame)
        return handled

    def subscribe(
        self,
        id: str,
        on_message: Callable[[Frame], object],
        on_cancelled: Callable[[Exception], object],
    ) -> None:
        self.subscribed[id] = on_message, on_cancelled

    def consume(
        self,
        destination: str,
        *headers: tuple[str, str],
        on_message: Callable[[Frame], object] = lambda _: None,
        on_cancelled: Callable[[Exception], object] = lambda _: None,
        before: bytes = b"",
    ) -> tuple[str, Deferred[None]]:
        self._subscriptions += 1
        id = f"s{self._subscriptions}"
        self.subscribe(id, on_message, on_cancelled)
        about = (("destination", destination), ("id", id))
        return id, self.request("SUBSCRIBE", *about, *headers, before=before)

    def unsubscribe(self, id: str) -> None:
        self.subscribed.pop(id, None)

    def close(self) -> Deferred[None]:
        gone = self._gone.wait()
        self.left = True
        if self.prompt or not self.alive:
            self.go()
        return gone

    def abort(self) -> None:
        self.dropped = True
        if self.alive:
            self._die(SessionLost("dropped"))

    # --- what the test calls -------------------------------------------------

    def answer(self, receipt: str) -> None:
        """Give a receipt."""
        waiting = self._receipts.pop(receipt, None)
        if waiting is not None and not waiting.called:
            waiting.callback(None)
        waiter = self._waiters.pop(receipt, None)
        if waiter is not None:
            waiter(None)

    def answer_all(self) -> None:
        """Give all receipts that are asked for."""
        for receipt in [*self._receipts, *self._waiters]:
            self.answer(receipt)

    def refuse(self, receipt: str, error: Exception) -> None:
        """Answer with an error that names a receipt."""
        if receipt in self._waiters:
            self._waiters.pop(receipt)(error)
        else:
            self._receipts.pop(receipt).errback(Failure(error))

    def deliver(self, id: str, body: bytes = b"body", **headers: str) -> None:
        """Send a message to a subscription."""
        if id in self.subscribed:
            self.subscribed[id][0](Frame("MESSAGE", {"ack": "1", **headers}, body))

    def lose(self, reason: Exception | None = None) -> None:
        """End it, by no wish of its owner."""
        self.alive = False
        reason = reason or SessionLost("lost")
        self.owner.socket_lost(reason)
        self._die(reason)

    def go(self) -> None:
        """Have it gone, as was wished."""
        self._die(SessionLost("closed"))

    def _die(self, reason: Exception) -> None:
        self.alive = False
        receipts = list(self._receipts.values())
        self._receipts.clear()
        self._waiters.clear()
        for receipt in receipts:
            if not receipt.called:
                receipt.errback(Failure(reason))
        self._gone.fire(None)

    def commands(self) -> list[str]:
        """The commands of what was written, in order."""
        return [frame.partition("\n")[0] for frame in self.frames]


class FakeConnector:
    """
    Opens such sockets when the test says so.

    @ivar prompt: whether they are open at once, and answer at once.
    @ivar connections: those that are open, in order.
    @ivar opening: those that are not, with their owners.
    @ivar rules: those of the dialect.
    """

    place = "toy"

    def __init__(self, clock: Clock, prompt: bool) -> None:
        self.clock = clock
        self.prompt = prompt
        self.connections: list[FakeSocket] = []
        self.opening: list[tuple[Deferred[FakeSocket], Any]] = []

    def follow(self, errors_are_fatal: bool, length_is_last: bool) -> None:
        self.rules = errors_are_fatal, length_is_last

    def open(self, owner: Any) -> Deferred[FakeSocket]:
        def cancelled(_: Deferred[FakeSocket]) -> None:
            self.opening = [each for each in self.opening if each[0] is not opening]

        opening: Deferred[FakeSocket] = Deferred(cancelled)
        self.opening.append((opening, owner))
        if self.prompt:
            self.accept()
        return opening

    def accept(self) -> FakeSocket:
        """Open the oldest."""
        opening, owner = self.opening.pop(0)
        socket = FakeSocket(owner, self.prompt)
        self.connections.append(socket)
        opening.callback(socket)
        return socket

    def refuse(self, error: Exception | None = None) -> None:
        """Refuse the oldest."""
        opening, _ = self.opening.pop(0)
        opening.errback(Failure(error or ConnectError("no")))


class ToyDialect(Dialect):
    """
    A queue is a destination of its name; what is not asked of the wire is done at
    once.

    @ivar recipes: what was asked for, in order.
    @ivar waits: whether recipes wait until the test fires L{next}.
    @ivar bound: the queues that were bound, as they were described.
    """

    name: ClassVar[str] = "toy"
    product: ClassVar[str] = "Toy"
    errors_are_fatal: ClassVar[bool] = True
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability) - {
        Capability.MANDATORY,
        Capability.CHANNEL_PREFETCH,
    }
    reads_bindings: ClassVar[bool] = True
    stops = False

    def __init__(self) -> None:
        super().__init__("1.0")
        self.bound: list[Queue] = []
        self.recipes: list[str] = []
        self.waits = False
        self.next: list[Deferred[None]] = []
        self.frame: Frame | None = None

    async def _recipe(self, what: str) -> None:
        self.recipes.append(what)
        if self.waits:
            turn: Deferred[None] = Deferred()
            self.next.append(turn)
            await turn

    def destination(self, exchange: Exchange, routing_key: str) -> str:
        if exchange.type == "headers":
            raise self.unsupported("headers exchange")
        if routing_key == "impossible":
            raise ValueError(routing_key)
        mark = "=" if exchange.passive or exchange.no_declare else ""
        return f"{mark}{exchange.name}/{routing_key}"

    def properties(self, properties: Properties, now: float) -> bytes:
        return b"".join(b"%b:x\n" % name.encode() for name in properties)

    def refuses(self, error: Exception, destination: str) -> bool:
        return destination in str(error)

    def delivery(self, frame: Frame, tag: int, consumer_tag: str) -> Delivery:
        return Delivery(tag, consumer_tag, False, "", "", frame.body, {})

    def ack(self, frame: Frame) -> bytes:
        return b"ACK %b\0" % frame.body

    def nack(self, frame: Frame, requeue: bool) -> bytes:
        return b"NACK %b %d\0" % (frame.body, requeue)

    def check_exchange(self, exchange: Exchange) -> None:
        if exchange.type == "headers":
            raise self.unsupported("headers exchange")

    def check_queue(self, queue: Queue) -> None:
        if queue.max_length:
            raise self.unsupported("a length")

    def warning_of(self, queue: Queue) -> str:
        return "" if queue.durable else "it is not durable"

    def check_binding(self, bound: StompBinding, to: BoundQueue) -> None:
        self.check_exchange(bound.exchange)
        if bound.routing_key == "overlapping":
            raise self.unsupported("overlapping bindings")

    def sources(self, bound: BoundQueue, options: ConsumeOptions) -> list[Source]:
        if bound.queue.name == "impossible":
            raise self.unsupported("this consumer")
        headers = (("prefetch", str(options.prefetch_count)),)
        names = [bound.queue.name, *(each.routing_key for each in bound.bindings)]
        return [Source(name, headers) for name in names]

    def stop_frames(self, id: str) -> bytes | None:
        return b"STOP %b\0" % id.encode() if self.stops else None

    def added_source(
        self, queue: Queue, bound: StompBinding, options: ConsumeOptions, others: int
    ) -> Source:
        return Source(bound.routing_key, (("prefetch", str(options.prefetch_count)),))

    async def declare_exchange(self, exchange: Exchange, pool: ConnectionPool) -> None:
        await self._recipe(f"exchange {exchange.name} {exchange.type}")

    async def declare_queue(
        self, queue: Queue, passive: bool, pool: ConnectionPool
    ) -> None:
        async with pool.of(queue):
            await self._recipe(f"queue {queue.name}")

    async def bind_queue(
        self, queue: Queue, bound: StompBinding, pool: ConnectionPool
    ) -> None:
        self.bound.append(queue)
        await self._recipe(f"bind {queue.name} {bound.routing_key}")

    async def delete_queue(self, queue: Queue, pool: ConnectionPool) -> None:
        await self._recipe(f"delete {queue.name}")

    async def purge_queue(self, bound: BoundQueue, pool: ConnectionPool) -> int:
        await self._recipe(f"purge {bound.queue.name}")
        return 3

    async def get(
        self, bound: BoundQueue, no_ack: bool, pool: ConnectionPool
    ) -> GetResult | None:
        await self._recipe(f"get {bound.queue.name}")
        if self.frame is None:
            return None
        return GetResult(self.frame, await pool.open())


class StompTestCase(SynchronousTestCase):
    """
    A session with a channel.

    @cvar prompt: whether sockets open and answer at once, to begin with.
    """

    prompt = True

    def setUp(self) -> None:
        self.clock = self.make_clock()
        self.journal = Journal()
        self.connector = FakeConnector(self.clock, True)
        self.dialect = ToyDialect()
        self.warned: set[str] = set()
        connector: Any = self.connector
        owner = SilentOwner()
        main: Any = self.successResultOf(self.connector.open(owner))
        self.main: FakeSocket = main
        declarations = Declarations(self.warned)
        self.dialect.exchange_named = declarations.exchange_named
        listener = SessionWatcher(self.journal)
        self.session = StompSession(
            connector, main, self.dialect, listener, declarations
        )
        owner.when_lost(self.session.lost)
        self.channel: Any = self.open_channel()
        self.connector.prompt = self.prompt
        for socket in self.connector.connections:
            socket.prompt = self.prompt
        self.addCleanup(self.clean_up)

    def make_clock(self) -> Any:
        """Return what keeps the time."""
        return Clock()

    def clean_up(self) -> None:
        """Whatever happened, nothing is left after an abort."""
        self.session.abort()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        alive = [socket for socket in self.connector.connections if socket.alive]
        self.assertEqual(alive, [])

    def open_channel(self) -> Any:
        """Open one more channel."""
        opening = self.session.open_channel(ChannelWatcher(self.journal))
        return self.successResultOf(opening)

    @property
    def publishing(self) -> FakeSocket:
        """The socket that the channel publishes on."""
        return self.connector.connections[1]

    @property
    def last(self) -> FakeSocket:
        """The socket that was opened last."""
        return self.connector.connections[-1]

    def names(self) -> list[str]:
        """What the listeners were told."""
        return [name for name, _ in self.journal.entries]

    def turn(self) -> None:
        """Let the reactor turn once."""
        self.clock.advance(0)

    def assertDone(self, probe: Probe, result: object = None) -> None:
        """It has fired with that."""
        self.assertEqual(probe.outcome, result)
