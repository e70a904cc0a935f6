"""Find out whether a broker answers at all."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from .._util.timeouts import CLOSE_TIMEOUT, with_timeout
from ..interfaces import ISession, ISessionChannel, ISessionChannelListener, Returned


@implementer(ISessionChannelListener)
class IgnoringListener:
    """Listener that ignores channel_lost and returned."""

    def channel_lost(self, error: Exception) -> None:
        pass

    def returned(self, message: Returned) -> None:
        pass


def is_responsive(session: ISession, clock: IReactorTime) -> Deferred[bool]:
    """
    Find out whether a broker answers, by opening a session channel.

    @return: fires with whether it answered within 5 s; never fails.
    """
    opening: Deferred[bool] = session.open_channel(IgnoringListener()).addCallbacks(
        _opened, lambda _: True
    )
    return with_timeout(opening, clock, CLOSE_TIMEOUT, "an answer", otherwise=False)


def _opened(channel: ISessionChannel) -> bool:
    channel.close()
    return True
