"""The recipes with a web server, by real requests."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

from tests.documentation.cookbook.recipe import RecipeCase
from txkombu import BrokerConnection, Queue
from txkombu.service import ConsumerService


class PublishingTests(RecipeCase):
    """http.rst, with twisted.web"""

    page = "http.rst"
    program = "orders.tac"

    def setUp(self) -> None:
        super().setUp()
        self.address = self.listen()
        self.shown = self.run_tac(self.program)
        self.start(self.shown["publisher"])

    async def test_accepted(self) -> None:
        """An order that was accepted is in the queue."""
        code, text, _ = await self.request(
            "POST", f"{self.address}/orders", b'{"id": 7}'
        )
        self.assertEqual((code, text), (202, "accepted\n"))
        self.assertEqual((await self.take("web.orders")).payload, {"id": 7})

    async def test_not_json(self) -> None:
        """What is not JSON is refused, and not published."""
        code, text, _ = await self.request("POST", f"{self.address}/orders", b"{")
        self.assertEqual((code, text), (400, "not JSON\n"))
        self.assertEqual(self.shown["publisher"].unconfirmed, 0)

    async def test_not_published(self) -> None:
        """What the broker does not take gets a 503, which says when to try again."""
        async with BrokerConnection(self.broker) as connection:
            await Queue("web.orders", max_length=1)(connection).declare()
        code, text, headers = await self.request(
            "POST", f"{self.address}/orders", b"{}"
        )
        self.assertEqual((code, text), (503, "try again later\n"))
        self.assertEqual(headers.getRawHeaders("Retry-After"), ["5"])


class KleinTests(PublishingTests):
    """http.rst, with Klein"""

    if find_spec("klein") is None:
        skip = "klein is not installed"

    program = "orders_klein.tac"


class RPCTests(RecipeCase):
    """web-rpc.rst"""

    page = "web-rpc.rst"

    def setUp(self) -> None:
        super().setUp()
        self.address = self.listen()
        self.publisher = self.run_tac("web.tac")["publisher"]
        self.start(self.publisher)

    async def get(self, fruit: str) -> tuple[int, Any]:
        """Ask for a price."""
        code, text, _ = await self.request("GET", f"{self.address}/?fruit={fruit}")
        return code, json.loads(text)

    async def test_called(self) -> None:
        """The reply of the service is the answer, and so is its refusal."""
        service = ConsumerService(self.broker, self.load("prices").Prices)
        self.start(service)
        await service.when_started()
        self.assertEqual(await self.get("pear"), (200, {"price": 3}))
        self.assertEqual(await self.get("kiwi"), (404, {"error": "there is no 'kiwi'"}))

    async def test_no_service(self) -> None:
        """Without the service the answer is to come again."""
        self.assertEqual(await self.get("pear"), (503, {"error": "try again later"}))

    async def test_stopped(self) -> None:
        """A request that waits for its reply when the server stops is told so."""
        async with BrokerConnection(self.broker) as connection:
            await Queue("prices")(connection).declare()
            asking = self.begin(self.get("pear"))
            await self.take("prices")
            await self.publisher.stopService()
            self.assertEqual(await asking, (503, {"error": "try again later"}))
