"""
A web server, written with Klein, that publishes what is posted to it.

Run C{python klein_publisher.py amqp://guest:guest@localhost// tcp:8080}, and then
C{curl -i -d '{"id": 7}' http://localhost:8080/orders}.  It answers as
C{web_publisher.py} does.
"""

from __future__ import annotations

import sys
from typing import Any

from klein import Klein
from twisted.application.internet import StreamServerEndpointService
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import react
from twisted.web.http import ACCEPTED, BAD_GATEWAY, SERVICE_UNAVAILABLE
from twisted.web.server import Site

from txkombu import Exchange, Producer, Queue
from txkombu.exceptions import KombuError, Nacked, Outcome
from txkombu.service import PublisherService

ORDERS = Queue("web.orders", Exchange("web", type="direct"), "order")
SECONDS = 5.0
"""How long a client waits for the broker, at most."""


class Shop:
    """The web application."""

    app = Klein()

    def __init__(self, producer: Producer) -> None:
        self.producer = producer

    @app.route("/orders", methods=["POST"])  # type: ignore[untyped-decorator]  # Klein may not be here
    async def order(self, request: Any) -> str:
        """Publish the body; answer when the broker has confirmed it."""
        body = request.content.read()
        try:
            await self.producer.publish(
                body,
                content_type="application/json",
                declare=[ORDERS],
                retry=True,
                timeout=SECONDS,
            )
        except KombuError as error:
            if error.outcome is Outcome.REFUSED and not isinstance(error, Nacked):
                request.setResponseCode(BAD_GATEWAY)
            else:
                request.setResponseCode(SERVICE_UNAVAILABLE)
                request.setHeader("Retry-After", "5")
            return f"{error}\n"
        request.setResponseCode(ACCEPTED)
        return "accepted\n"


def klein_publisher(reactor: Any, broker: str, endpoint: str) -> PublisherService:
    """Make the service; it stops to listen, and then waits for the last confirms."""
    publisher = PublisherService(broker, reactor=reactor)
    shop = Shop(publisher.producer(ORDERS.exchange, ORDERS.routing_key))
    site = Site(shop.app.resource())
    listening = StreamServerEndpointService(serverFromString(reactor, endpoint), site)
    listening.setServiceParent(publisher)
    return publisher


async def main(reactor: Any, broker: str, endpoint: str) -> None:
    """Serve until the program is interrupted."""
    publisher = klein_publisher(reactor, broker, endpoint)
    reactor.addSystemEventTrigger("before", "shutdown", publisher.stopService)
    publisher.startService()
    print(f"Publishing what is posted to {endpoint}", flush=True)
    try:
        await publisher.when_stopped()
    finally:
        await publisher.stopService()


if __name__ == "__main__":
    react(main, sys.argv[1:])
