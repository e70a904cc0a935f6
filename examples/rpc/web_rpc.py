"""
A web server that has others do the work: it calls them through the broker.

Run C{python rpc_server.py amqp://guest:guest@localhost//}, also several times, then
C{python web_rpc.py amqp://guest:guest@localhost// tcp:8080}, and then
C{curl -i -d '{"text": "a few words"}' http://localhost:8080/}.

It answers 200 with the reply, and 400 with the error that the server of the call
replied with.  It answers 503, and when to try again, if there is no broker or no such
server, and 504 if no reply came in time.  After a SIGTERM it answers the requests that
have come, and then ends.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.python.failure import Failure
from twisted.web.http import (
    BAD_REQUEST,
    GATEWAY_TIMEOUT,
    INTERNAL_SERVER_ERROR,
    OK,
    SERVICE_UNAVAILABLE,
    Request,
)
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from txkombu.exceptions import KombuError, NotSent, OperationTimeout, RemoteError
from txkombu.rpc import RPCClient
from txkombu.service import PublisherService

SECONDS = 5.0
"""How long a client waits for the reply, at most."""


class Words(Resource):
    """
    Calls the queue "words" with the JSON of each POST.

    @ivar calls: those that are under way.
    """

    isLeaf = True

    def __init__(self, client: RPCClient) -> None:
        super().__init__()
        self.client = client
        self.calls: set[Deferred[None]] = set()

    def render_POST(self, request: Request) -> int:
        """Call, and answer later."""
        assert request.content is not None
        try:
            question = json.load(request.content)
        except ValueError as error:
            answer(request, BAD_REQUEST, {"error": str(error)})
            return NOT_DONE_YET
        # To count words twice does no harm.
        calling = self.client.call("words", question, timeout=SECONDS, retry=True)
        self.calls.add(calling)
        # Nobody waits for a client that has gone.
        request.notifyFinish().addErrback(lambda _: calling.cancel())
        calling.addCallback(lambda reply: answer(request, OK, reply))
        calling.addErrback(failed, request)
        calling.addBoth(lambda _: self.calls.discard(calling))
        return NOT_DONE_YET


def failed(failure: Failure, request: Request) -> None:
    """Say what went wrong, and whether to try again."""
    error = failure.value
    if isinstance(error, CancelledError):
        return
    if isinstance(error, RemoteError):
        answer(request, BAD_REQUEST, {"error": error.text})
    elif isinstance(error, OperationTimeout) and not isinstance(error, NotSent):
        answer(request, GATEWAY_TIMEOUT, {"error": str(error)})
    elif isinstance(error, KombuError):
        request.setHeader("Retry-After", "5")
        answer(request, SERVICE_UNAVAILABLE, {"error": str(error)})
    else:
        answer(request, INTERNAL_SERVER_ERROR, {"error": "a fault"})


def answer(request: Request, code: int, value: object) -> None:
    """Send a response."""
    request.setResponseCode(code)
    request.setHeader("Content-Type", "application/json")
    request.write(json.dumps(value).encode())
    request.finish()


class WordsService(StreamServerEndpointService):
    """Listens; when it stops, it takes no more calls, and waits for their replies."""

    def __init__(self, endpoint: Any, words: Words) -> None:
        super().__init__(endpoint, Site(words))
        self.words = words

    async def _stop(self) -> None:
        await super().stopService()
        await DeferredList(list(self.words.calls))

    def stopService(self) -> Deferred[None]:
        """Stop; each call has its own deadline."""
        return Deferred.fromCoroutine(self._stop())


def web_rpc(reactor: Any, broker: str, endpoint: str) -> PublisherService:
    """Make the service; it stops to listen, waits for the replies, and disconnects."""
    publisher = PublisherService(broker, reactor=reactor)
    words = Words(RPCClient(publisher))
    listening = WordsService(serverFromString(reactor, endpoint), words)
    listening.setServiceParent(publisher)
    return publisher


async def main(reactor: Any, broker: str, endpoint: str) -> None:
    """Serve until the program is interrupted."""
    publisher = web_rpc(reactor, broker, endpoint)
    reactor.addSystemEventTrigger("before", "shutdown", publisher.stopService)
    publisher.startService()
    print(f"Calling for what is posted to {endpoint}", flush=True)
    try:
        await publisher.when_stopped()
    finally:
        await publisher.stopService()


if __name__ == "__main__":
    react(main, sys.argv[1:])
