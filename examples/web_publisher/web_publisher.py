"""
A web server that publishes what is posted to it.

Run C{python web_publisher.py amqp://guest:guest@localhost// tcp:8080}, and then
C{curl -i -H 'Content-Type: application/json' -d '{"id": 7}' http://localhost:8080/}.

It answers 202 when the broker has confirmed the message, which is in the queue then.
It answers 503, and when to try again, if the broker cannot be reached, is slow, or
takes nothing.  The server starts without a broker.  After a SIGTERM it answers the
requests that have come, and then ends.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.python.failure import Failure
from twisted.web.http import (
    ACCEPTED,
    BAD_GATEWAY,
    BAD_REQUEST,
    INTERNAL_SERVER_ERROR,
    SERVICE_UNAVAILABLE,
    Request,
)
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from txkombu import Exchange, Producer, Queue
from txkombu.exceptions import KombuError, Nacked, Outcome
from txkombu.service import PublisherService

ORDERS = Queue("web.orders", Exchange("web", type="direct"), "order")
SECONDS = 5.0
"""How long a client waits for the broker, at most."""


class Orders(Resource):
    """
    Publishes the body of each POST.

    A client that is told 503 may post the same again.  If it sends a header
    C{Idempotency-Key}, that is the message's id, by which consumers can tell whether
    the message came twice.
    """

    isLeaf = True

    def __init__(self, producer: Producer) -> None:
        super().__init__()
        self.producer = producer

    def render_POST(self, request: Request) -> int:
        """Publish, and answer later."""
        assert request.content is not None
        try:
            publishing = self.producer.publish(
                request.content.read(),
                content_type=request.getHeader("Content-Type") or "application/json",
                message_id=request.getHeader("Idempotency-Key"),
                declare=[ORDERS],
                retry=True,
                timeout=SECONDS,
            )
        except ValueError as error:  # a header is too long
            answer(request, BAD_REQUEST, str(error))
            return NOT_DONE_YET
        # A client that has gone waits for no answer: it makes room for others.
        request.notifyFinish().addErrback(lambda _: publishing.cancel())
        publishing.addCallback(lambda _: answer(request, ACCEPTED, "accepted"))
        publishing.addErrback(refused, request)
        return NOT_DONE_YET


def refused(failure: Failure, request: Request) -> None:
    """Say whether to try again."""
    error = failure.value
    if isinstance(error, CancelledError):
        return
    if not isinstance(error, KombuError):
        answer(request, INTERNAL_SERVER_ERROR, "a fault")
    elif error.outcome is Outcome.REFUSED and not isinstance(error, Nacked):
        answer(request, BAD_GATEWAY, str(error))
    else:
        request.setHeader("Retry-After", "5")
        answer(request, SERVICE_UNAVAILABLE, str(error))


def answer(request: Request, code: int, text: str) -> None:
    """Send a response."""
    request.setResponseCode(code)
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    request.write(f"{text}\n".encode())
    request.finish()


def web_publisher(reactor: Any, broker: str, endpoint: str) -> PublisherService:
    """Make the service; it stops to listen, and then waits for the last confirms."""
    publisher = PublisherService(broker, reactor=reactor)
    site = Site(Orders(publisher.producer(ORDERS.exchange, ORDERS.routing_key)))
    listening = StreamServerEndpointService(serverFromString(reactor, endpoint), site)
    listening.setServiceParent(publisher)
    return publisher


async def main(reactor: Any, broker: str, endpoint: str) -> None:
    """Serve until the program is interrupted."""
    publisher = web_publisher(reactor, broker, endpoint)
    reactor.addSystemEventTrigger("before", "shutdown", publisher.stopService)
    publisher.startService()
    print(f"Publishing what is posted to {endpoint}", flush=True)
    try:
        await publisher.when_stopped()
    finally:
        await publisher.stopService()


if __name__ == "__main__":
    react(main, sys.argv[1:])
