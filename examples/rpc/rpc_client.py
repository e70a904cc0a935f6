"""
A client of C{rpc_server.py}.

Run it with C{python rpc_client.py amqp://guest:guest@localhost// "a text" "another"}.
"""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from txkombu import BrokerConnection
from txkombu.exceptions import OperationTimeout, Unroutable
from txkombu.rpc import RemoteError, RPCClient


async def count_words(client: RPCClient, text: str) -> str:
    """Call the server; return what there is to tell."""
    try:
        reply = await client.call("words", {"text": text}, timeout=10)
    except RemoteError as error:
        return f"the server refused {text!r}: {error}"
    except Unroutable:
        return "there is no server"
    except OperationTimeout as error:
        return f"no answer for {text!r}: {error}"
    return f"{reply['words']} words in {text!r}"


async def main(reactor: IReactorTime, broker: str, *texts: str) -> None:
    """Ask for all texts at once, and print the answers."""
    async with BrokerConnection(broker, reactor=reactor) as connection:
        client = RPCClient(connection)
        asking = [Deferred.fromCoroutine(count_words(client, text)) for text in texts]
        for line in await gatherResults(asking):
            print(line)


if __name__ == "__main__":
    react(main, sys.argv[1:])
