"""
pika's adapter, for the tests.
"""

from __future__ import annotations

from tests.support.adapters import Adapter
from txkombu.transport.amqp.adapters.pika import PikaTransport

PIKA = Adapter(
    "pika",
    PikaTransport,
    # What it cannot read pika says in words of its own.
    words={
        "unknown method 60": "pika cannot read what came: KeyError",
        "lacks its end": "pika cannot read what came: InvalidFrameError",
        "cut short": "cut short|pika cannot read what came: error",
    },
    # pika forgets which channel a heartbeat was for.
    unheard=frozenset({"a heartbeat of a channel"}),
)
