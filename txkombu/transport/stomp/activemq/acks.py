"""
What settles a message on ActiveMQ Classic.

ActiveMQ has an ACK, and a NACK that makes a dead letter of the message at once: it
goes to C{ActiveMQ.DLQ} if it is persistent.  It has nothing that puts a message
back, so that is a transaction of our own: a copy is sent to the queue the message
came from, and the message is acknowledged.  If the copy is refused the broker
takes back the whole transaction; if the connection is lost, too.  The copy comes
last in its queue.

The end of a subscription gives back what was not acknowledged, and that cannot be
settled any more.  What was acknowledged in a transaction that is not over stays: to
commit it settles the message, to abort it gives the message back.
"""

from __future__ import annotations

from typing import Final

from ..wire.frames import END, Frame, escape
from .properties import REDELIVERED

_TRANSACTION: Final = b"transaction:requeue\n"
"""One name will do: each is over before the next begins."""
_BEGIN: Final = b"BEGIN\n%b\n\0" % _TRANSACTION
_COMMIT: Final = b"COMMIT\n%b\n\0" % _TRANSACTION

_OF_THE_DELIVERY: Final = frozenset(
    {
        "ack",
        "amq-msg-type",
        "content-length",
        "destination",
        "message-id",
        "receipt",
        "redelivered",
        "subscription",
        "transaction",
        REDELIVERED,
    }
)
"""What a copy does not have from the message, but of its own if at all."""


def ack(frame: Frame) -> bytes:
    """It was handled."""
    return b"ACK\n%b\n\0" % _id(frame)


def dead_letter(frame: Frame) -> bytes:
    """It was not, and nobody shall try again."""
    return b"NACK\n%b\n\0" % _id(frame)


def _id(frame: Frame) -> bytes:
    return _line("id", frame.headers.get("ack", ""))


def requeue(frame: Frame) -> bytes:
    """Somebody shall try again."""
    return b"".join(
        (
            _BEGIN,
            _copy(frame),
            b"ACK\n%b%b\n\0" % (_id(frame), _TRANSACTION),
            _COMMIT,
        )
    )


def keep(frame: Frame) -> bytes:
    """It is ours whatever becomes of the subscription, until one of the next two."""
    within = _kept(frame)
    return b"BEGIN\n%b\n\0ACK\n%b%b\n\0" % (within, _id(frame), within)


def ack_kept(frame: Frame) -> bytes:
    """What was kept was handled."""
    return b"COMMIT\n%b\n\0" % _kept(frame)


def give_back_kept(frame: Frame) -> bytes:
    """Somebody shall have what was kept."""
    return b"ABORT\n%b\n\0" % _kept(frame)


def _kept(frame: Frame) -> bytes:
    return _line("transaction", f"kept {frame.headers.get('ack', '')}")


def _copy(frame: Frame) -> bytes:
    """
    A SEND of the same message.

    Its headers are those of the MESSAGE, so it lives no longer, and is found where
    it was published to.  A text of JMS is one that has no C{content-length}.
    """
    headers = frame.headers
    lines = [
        b"SEND\n",
        _line("destination", headers.get("destination", "")),
        _TRANSACTION,
        _line(REDELIVERED, "true"),
    ]
    for name, value in headers.items():
        if name not in _OF_THE_DELIVERY:
            lines.append(_line(name, value))
    if "content-length" in headers:
        lines.append(b"content-length:%d\n" % len(frame.body))
    return b"".join((*lines, b"\n", frame.body, END))


def _line(name: str, value: str) -> bytes:
    """A header as it came, even if nobody should have written it."""
    return f"{escape(name)}:{escape(value)}\n".encode("utf-8", "surrogateescape")
