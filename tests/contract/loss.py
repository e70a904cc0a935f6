"""
The contract: how channels and sessions end, and which Deferreds fire then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from twisted.internet.defer import gatherResults
from zope.interface import implementer

from tests.contract.capabilities import Nature, needs
from tests.contract.harness import (
    DEFAULT,
    ChannelWatcher,
    Harness,
    Inbox,
    Journal,
    Probe,
    consume,
    publish,
)
from txkombu.entity import Exchange, Queue
from txkombu.exceptions import (
    ChannelClosed,
    NotFound,
    NotSent,
    OutcomeUnknown,
    SessionLost,
)
from txkombu.interfaces import Capability as Can
from txkombu.interfaces import (
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    Returned,
    Settlement,
)

STALE = Settlement.STALE
_Ground = tuple[ISessionChannel, Queue, Exchange]


class DeathTests(Harness):
    """
    Outstanding operations fire once, typed, in the turn in which their channel ends.
    """

    def begin(
        self, channel: ISessionChannel, queue: Queue, exchange: Exchange
    ) -> dict[str, Probe]:
        """Begin every operation at once."""
        begun = {
            name: Probe(begin(channel, queue, exchange))
            for name, begin in self.operations().items()
        }
        begun["publish"] = Probe(publish(channel, DEFAULT, queue.name))
        begun["basic_cancel"] = Probe(channel.basic_cancel("of operations"))
        return begun

    def check(self, begun: dict[str, Probe], kind: type[Exception]) -> None:
        """Check that all have fired as the contract says."""
        self.assertIsInstance(begun.pop("publish").outcome, self.held)
        self.assertIsNone(begun.pop("basic_cancel").outcome)
        for name in self.immediate & begun.keys():
            if begun[name].outcome is None:
                del begun[name]
        for name, probe in begun.items():
            self.assertIsInstance(probe.outcome, kind, name)

    async def ground(self, journal: Journal) -> tuple[ISession, _Ground]:
        """Return a session, a channel of it, a queue and an exchange."""
        session = await self.connect(journal)
        channel = await self.channel(session, journal)
        queue, exchange = await self.queue(channel), await self.exchange(channel)
        return session, (channel, queue, exchange)

    def note(self, journal: Journal, begun: dict[str, Probe]) -> list[str]:
        """
        Record when Deferreds fire; return the names of those that have not fired yet.
        """
        outstanding = [name for name, probe in begun.items() if not probe.fired]
        for name in outstanding:
            begun[name].deferred.addBoth(partial(journal.note, name))
        return sorted(set(outstanding) - self.immediate)

    async def test_abort(self) -> None:
        """Aborting fires everything in the call, and tells the listeners nothing."""
        journal = Journal()
        session, ground = await self.ground(journal)
        begun = self.begin(*ground)
        opening = Probe(session.open_channel(ChannelWatcher(journal)))
        closing = Probe(session.close())
        session.abort()
        self.check(begun, SessionLost)
        self.assertIsInstance(opening.outcome, SessionLost)
        self.assertIsNone(closing.outcome)
        self.assertIsNone(Probe(session.close()).outcome)
        self.assertEqual(journal.entries, [])

    async def test_each_alone(self) -> None:
        """Each operation by itself fires when the connection is dropped."""
        for name, begin in self.operations().items():
            if name in self.immediate:
                continue
            session, ground = await self.ground(Journal())
            probe = Probe(begin(*ground))
            self.assertFalse(probe.fired, name)
            session.abort()
            self.assertIsInstance(probe.outcome, SessionLost, name)

    async def test_lost(self) -> None:
        """
        At a loss the session's listener is told, then the channels', then everything
        fires.
        """
        journal = Journal()
        session, ground = await self.ground(journal)
        for _ in range(2):
            await self.channel(session, journal)
        begun = self.begin(*ground)
        outstanding = self.note(journal, begun)
        self.lose(session)
        await journal.first("session_lost")
        told, fired = journal.entries[:4], journal.entries[4:]
        names = {name for name, _ in fired} - self.immediate
        self.assertEqual(sorted(names), outstanding)
        self.assertEqual(
            [name for name, _ in told], ["session_lost"] + ["channel_lost"] * 3
        )
        self.check(begun, SessionLost)
        for _, reason in told:
            self.assertIsInstance(reason, SessionLost)

    @needs(Nature.CHANNEL_ERRORS)
    async def test_refused(self) -> None:
        """
        If the broker refuses an operation, the channel's listener is told first; then
        that operation fails with the broker's error, and later ones fail with
        C{ChannelClosed}.
        """
        journal = Journal()
        _, ground = await self.ground(journal)
        refused = Probe(self.offend(ground[0]))
        begun = self.begin(*ground)
        outstanding = self.note(journal, begun)
        (error,) = await journal.first("channel_lost")
        self.assertIsInstance(refused.outcome, NotFound)
        self.assertIsInstance(error, NotFound)
        happened = [name for name, _ in journal.entries if name not in self.immediate]
        self.assertEqual(happened[0], "channel_lost")
        self.assertEqual(sorted(happened[1:]), outstanding)
        self.assertIsInstance(begun["basic_get"].outcome.__cause__, NotFound)
        self.check(begun, ChannelClosed)

    @needs(Nature.CHANNEL_ERRORS)
    async def test_other_channels_live(self) -> None:
        """An error of one channel affects neither other channels nor the session."""
        journal = Journal()
        session = await self.connect(journal)
        bystander = await self.channel(session, journal)
        queue = await self.queue(bystander)
        inbox = Inbox()
        await consume(bystander, queue, inbox=inbox)
        sinner = await self.channel(session)
        await self.refusal(NotFound, self.offend(sinner))
        await self.put(bystander, queue, b"1")
        await inbox.first()
        await self.put(await self.channel(session), queue, b"2")
        await inbox.first(2)
        self.assertEqual(journal.entries, [])

    @needs(Nature.SESSION_ERRORS)
    async def test_session_refused(self) -> None:
        """
        An error of the whole session fails the operation that caused it, and everything
        else, on all channels.
        """
        journal = Journal()
        session, ground = await self.ground(journal)
        other = await self.channel(session, journal)
        queue = await self.queue(other)
        waiting = Probe(publish(other, DEFAULT, queue.name))
        await waiting.deferred
        refused = Probe(self.ask_for_the_end(ground[0]))
        begun = self.begin(*ground)
        (reason,) = await journal.first("session_lost")
        self.assertIsInstance(refused.outcome, self.ends_session)
        self.assertIsInstance(begun["basic_get"].outcome.__cause__, self.ends_session)
        self.check(begun, SessionLost)
        self.assertIsInstance(reason.__cause__ or reason, self.ends_session)

    def ends(self) -> list[Callable[[ISession, ISessionChannel], Awaitable[object]]]:
        """Return the ways in which a channel can end."""
        ends: list[Callable[[ISession, ISessionChannel], Awaitable[object]]] = [
            lambda session, channel: channel.close(),
            lambda session, channel: session.close(),
        ]
        if self.can(Nature.CHANNEL_ERRORS):
            ends.append(lambda _, channel: self.refusal(NotFound, self.offend(channel)))
        return ends

    async def test_unsettled_go_back(self) -> None:
        """Unsettled messages are redelivered, however the channel ended."""
        observer = await self.channel()
        queue = await self.queue(observer)
        await self.put(observer, queue, b"1")
        redelivered = False
        for end in self.ends():
            session = await self.connect()
            channel = await self.channel(session)
            delivery = await self.take_returned(channel, queue)
            self.assertIs(delivery.redelivered, redelivered)
            redelivered = True
            await end(session, channel)
            self.assertIs(channel.ack(delivery.tag, False), STALE)
        self.assertEqual((await self.take_returned(observer, queue)).body, b"1")

    @needs(Can.MANDATORY, Can.EXCHANGE_PASSIVE)
    async def test_failing_listener(self) -> None:
        """An error of a listener is logged, and affects nothing else."""
        session = await self.connect()
        channel = await session.open_channel(_Clumsy())
        missing = Exchange(self.name())
        await publish(channel, DEFAULT, self.name(), mandatory=True, confirm=False)
        await self.refusal(NotFound, channel.exchange_declare(missing, True))
        await self.channel(session)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    async def test_failing_listener_at_loss(self) -> None:
        """
        An error of a listener that is told of a loss is logged, and affects nothing
        else.
        """
        journal = Journal()
        session = await self.connect(journal)
        channel = await session.open_channel(_Clumsy())
        bystander = await self.channel(session, journal)
        queue = await self.queue(channel)
        probes = [
            Probe(publish(each, DEFAULT, queue.name)) for each in (channel, bystander)
        ]
        self.lose(session)
        await journal.first("channel_lost")
        for probe in probes:
            self.assertIsInstance(probe.outcome, OutcomeUnknown)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    @needs(Nature.CHANNEL_ERRORS)
    async def test_listener_opens_anew(self) -> None:
        """A listener may open a channel when it is told that its own is lost."""
        session = await self.connect()
        journal = Journal()
        watcher = _Reopening(session, journal)
        channel = await session.open_channel(watcher)
        await self.refusal(NotFound, self.offend(channel))
        (opened,) = await journal.first("opened")
        await self.queue(opened)


class CloseTests(Harness):
    """Closing never fails, and later operations fail typed."""

    async def dead(self) -> list[ISessionChannel]:
        """Return channels that ended in each of the ways that there are."""
        closed = await self.channel()
        await closed.close()
        refused = await self.channel()
        if self.can(Nature.CHANNEL_ERRORS):
            await self.refusal(NotFound, self.offend(refused))
        else:
            await refused.close()
        journal = Journal()
        session = await self.connect(journal)
        lost = await self.channel(session)
        self.lose(session)
        await journal.first("session_lost")
        session = await self.connect()
        aborted = await self.channel(session)
        session.abort()
        session = await self.connect()
        orderly = await self.channel(session)
        await session.close()
        return [closed, refused, lost, aborted, orderly]

    async def test_use_after_death(self) -> None:
        """A channel that has ended does nothing, and says so with a typed error."""
        queue, exchange = Queue(self.name()), Exchange(self.name())
        for channel in await self.dead():
            for name, begin in self.operations().items():
                probe = Probe(begin(channel, queue, exchange))
                self.assertIsInstance(probe.outcome, ChannelClosed, name)
            for confirm in (True, False):
                probe = Probe(publish(channel, exchange, "key", confirm=confirm))
                self.assertIsInstance(probe.outcome, NotSent)
            self.assertIs(channel.ack(1, False), STALE)
            self.assertIs(channel.nack(1, True, True), STALE)
            self.assertIs(channel.reject(1, False), STALE)
            channel.flush()
            self.assertIs(Probe(channel.when_flushed()).outcome, STALE)
            self.assertIsNone(Probe(channel.basic_cancel("tag")).outcome)
            self.assertIsNone(Probe(channel.close()).outcome)

    async def test_use_of_dead_session(self) -> None:
        """A closed session opens no channel."""
        session = await self.connect()
        await session.close()
        await self.refusal(SessionLost, session.open_channel(_Clumsy()))
        session.abort()
        self.assertIsNone(Probe(session.close()).outcome)

    async def test_use_while_closing(self) -> None:
        """A channel that is closing accepts no more operations."""
        channel = await self.channel()
        queue = await self.queue(channel)
        await self.put(channel, queue, b"1")
        delivery = await self.take(channel, queue)
        closing = Probe(channel.close())
        again = Probe(channel.close())
        self.assertIs(channel.ack(delivery.tag, False), STALE)
        self.assertIsInstance(
            Probe(channel.queue_declare(queue, False)).outcome, ChannelClosed
        )
        self.assertIsInstance(
            Probe(publish(channel, DEFAULT, queue.name)).outcome, NotSent
        )
        await gatherResults([closing.deferred, again.deferred])
        self.assertEqual((closing.outcome, again.outcome), (None, None))

    async def test_close_with_outstanding(self) -> None:
        """When a channel is closed, all operations on it have fired."""
        journal = Journal()
        channel = await self.channel(journal=journal)
        queue, exchange = await self.queue(channel), await self.exchange(channel)
        begun = {
            name: Probe(begin(channel, queue, exchange))
            for name, begin in self.operations().items()
        }
        begun["publish"] = Probe(publish(channel, DEFAULT, queue.name))
        await channel.close()
        for name, probe in begun.items():
            self.assertEqual(len(probe.outcomes), 1, name)
        self.assertEqual(journal.entries, [])

    async def test_session_close_with_outstanding(self) -> None:
        """When a session is closed, all operations on it have fired."""
        journal = Journal()
        session = await self.connect(journal)
        channel = await self.channel(session, journal)
        queue, exchange = await self.queue(channel), await self.exchange(channel)
        begun = {
            name: Probe(begin(channel, queue, exchange))
            for name, begin in self.operations().items()
        }
        begun["publish"] = Probe(publish(channel, DEFAULT, queue.name))
        begun["open"] = Probe(session.open_channel(ChannelWatcher(journal)))
        begun["close"] = Probe(session.close())
        await gatherResults([session.close(), begun["close"].deferred])
        for name, probe in begun.items():
            self.assertEqual(len(probe.outcomes), 1, name)
        self.assertEqual(journal.entries, [])

    @needs(Nature.MISSING_EXCHANGE, Nature.CHANNEL_ERRORS)
    async def test_crossing(self) -> None:
        """
        A close that crosses the broker's own close succeeds, and the number is free.
        """
        journal = Journal()
        session = await self.connect(journal)
        for _ in range(3):
            channel = await self.channel(session, journal)
            refused = Probe(publish(channel, self.missing_exchange(), "key"))
            await channel.close()
            self.assertIsInstance(refused.outcome, NotFound)
            await self.queue(await self.channel(session, journal))
        self.assertEqual(journal.entries, [])


@implementer(ISessionChannelListener)
class _Clumsy:
    """A listener that raises at every call."""

    def channel_lost(self, error: Exception) -> None:
        raise KeyError("of the test")

    def returned(self, message: Returned) -> None:
        raise KeyError("of the test")


class _Reopening(ChannelWatcher):
    """A listener that opens a channel when its own is lost."""

    def __init__(self, session: ISession, journal: Journal) -> None:
        super().__init__(journal)
        self._session = session

    def channel_lost(self, error: Exception) -> None:
        opening = self._session.open_channel(ChannelWatcher(Journal()))
        opening.addCallback(lambda channel: self.journal.note("opened", channel))
