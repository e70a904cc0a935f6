"""
A server that others call through the broker: it tells how many words a text has.

Run it with C{python rpc_server.py amqp://guest:guest@localhost//}, also in several
processes: the servers share the calls.  C{rpc_client.py} calls them.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txkombu import BrokerConnection, Message, Queue
from txkombu.rpc import RPCServer


class WordServer(RPCServer):
    """Counts words; a client gets the ValueError for a text that has none."""

    queues = Queue("words")

    async def handle(self, body: Any, message: Message) -> object:
        """Reply to one call; this could as well await something."""
        words = body["text"].split()
        if not words:
            raise ValueError("the text has no words")
        return {"words": len(words)}


async def main(reactor: IReactorTime, broker: str) -> None:
    """Serve until the program is interrupted."""
    connection = BrokerConnection(broker, reactor=reactor)
    async with connection, WordServer(connection):
        print("Waiting for calls; end with Ctrl-C.", flush=True)
        await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
