"""
The fakes of the tests follow the interfaces that they stand for.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.fakes import (
    FakeChannel,
    FakeChannelListener,
    FakeSession,
    FakeSessionListener,
    FakeTransport,
)
from txkombu.exceptions import ChannelClosed, NotSent, SessionLost
from txkombu.interfaces import (
    IBrokerTransport,
    ISession,
    ISessionChannel,
    ISessionChannelListener,
    ISessionListener,
    Settlement,
)


class FakesTests(SynchronousTestCase):
    """Each fake provides its interface, and ends as the contract says."""

    def test_interfaces(self) -> None:
        """Every fake provides the whole of its interface."""
        verifyObject(IBrokerTransport, FakeTransport())
        verifyObject(ISession, FakeSession())
        verifyObject(ISessionChannel, FakeChannel())
        verifyObject(ISessionListener, FakeSessionListener())
        verifyObject(ISessionChannelListener, FakeChannelListener())

    def test_death(self) -> None:
        """A channel that ends fails everything outstanding, then tells its listener."""
        listener = FakeChannelListener()
        channel = FakeChannel(listener)
        purging = channel.queue_purge(None)  # type: ignore[arg-type]  # wrong on purpose
        closing = channel.close()
        told = channel.when_flushed()
        purging.addErrback(lambda failure: listener.names())
        error = SessionLost("gone")
        channel.die(error)
        self.assertEqual(self.successResultOf(purging), ["channel_lost"])
        self.assertIsNone(self.successResultOf(closing))
        self.assertIs(self.successResultOf(told), Settlement.STALE)
        [lost] = listener.called("channel_lost")
        self.assertEqual(lost.arguments, (error,))

    def test_after_death(self) -> None:
        """A channel that has ended refuses what the contract says it refuses."""
        channel = FakeChannel()
        channel.die()
        self.failureResultOf(channel.basic_qos(1), ChannelClosed)
        publish = channel.basic_publish(b"", {}, None, "", False, True)  # type: ignore[arg-type]  # wrong on purpose
        self.failureResultOf(publish, NotSent)
        self.assertIs(channel.ack(1, False), Settlement.STALE)
        self.assertIs(self.successResultOf(channel.when_flushed()), Settlement.STALE)
        self.successResultOf(channel.close())
        self.successResultOf(channel.basic_cancel("tag"))
