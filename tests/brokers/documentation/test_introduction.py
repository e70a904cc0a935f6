"""
The introduction page on RabbitMQ.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.paths import DOCS
from tests.support.rabbitmq import rabbitmq
from tests.support.snippets import PageTestCase, forget_queues

PICTURE = b"\xff\xd8\xff\xe0"


class IntroductionTests(PageTestCase):
    """docs/start/introduction.rst"""

    async def test_introduction(self) -> None:
        """It shows the same on RabbitMQ as on the memory broker."""
        Path("my_picture.jpg").write_bytes(PICTURE)
        text = (DOCS / "start" / "introduction.rst").read_text(encoding="utf-8")
        url = {"memory://introduction": rabbitmq().url}
        await forget_queues(rabbitmq().url)
        self.assertGreater(await self.run_text(text, replace=url), 1)
        self.assertIn(len(self.flushLoggedErrors(Exception)), (1, 2))  # it closes soon
