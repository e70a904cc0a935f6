"""The pages about STOMP are so, on each broker that speaks it."""

from __future__ import annotations

from tests.support.activemq import activemq
from tests.support.paths import DOCS
from tests.support.rabbitmq import rabbitmq
from tests.support.snippets import PageTestCase

URL = "stomp://guest:guest@localhost:61613"


class StompPageTests(PageTestCase):
    """C{explained/stomp.rst} and C{howto/moving.rst}"""

    async def run_page(self, name: str, url: str) -> None:
        """Run a page with another broker than the one it names."""
        text = (DOCS / name).read_text(encoding="utf-8")
        self.assertGreater(await self.run_text(text, replace={URL: url}), 10)

    async def test_stomp_with_rabbitmq(self) -> None:
        """The page on STOMP runs with RabbitMQ."""
        await self.run_page("explained/stomp.rst", rabbitmq().stomp_url)

    async def test_stomp_with_activemq(self) -> None:
        """The page on STOMP runs with ActiveMQ."""
        await self.run_page("explained/stomp.rst", activemq().stomp_url)

    async def test_moving_with_rabbitmq(self) -> None:
        """What programs move to runs with RabbitMQ."""
        await self.run_page("howto/moving.rst", rabbitmq().stomp_url)

    async def test_moving_with_activemq(self) -> None:
        """What programs move to runs with ActiveMQ."""
        await self.run_page("howto/moving.rst", activemq().stomp_url)
