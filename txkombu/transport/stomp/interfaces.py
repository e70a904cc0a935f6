"""
What a socket asks of whoever opened it.
"""

from __future__ import annotations

from zope.interface import Interface


class IProtocolOwner(Interface):
    """What a socket tells whoever opened it.  Called from the reactor."""

    def socket_lost(reason: Exception) -> None:
        """
        The socket is over, by no wish of its owner's: with the broker's error,
        if it told one, else with L{txkombu.exceptions.SessionLost}.  Called
        once, only after its login, and before anything outstanding on it fires.
        """

    def write_paused() -> None:
        """The socket's buffer is full: write no more until C{write_resumed}."""

    def write_resumed() -> None:
        """The socket has room again."""
