"""
A peer for the sessions that run on pika's adapter.
"""

from __future__ import annotations

from tests.support.adapters import Adapter
from txkombu.transport.amqp.adapters.pika import PikaTransport

PIKA = Adapter(
    "pika",
    PikaTransport,
    # pika reports malformed frames in its own words.
    words={
        "unknown method 60": "pika cannot read what came: KeyError",
        "lacks its end": "pika cannot read what came: InvalidFrameError",
        "cut short": "cut short|pika cannot read what came: error",
    },
    # pika does not keep the channel of a heartbeat.
    unheard=frozenset({"a heartbeat of a channel"}),
)
