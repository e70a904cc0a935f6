"""docs/howto/moving.rst is so; with brokers that speak STOMP it runs elsewhere, too."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

from docutils import nodes
from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import DOCS
from tests.support.snippets import PageTestCase, parse
from txkombu import (
    BrokerConnection,
    Consumer,
    Exchange,
    Message,
    Producer,
    Queue,
    exceptions,
    policy,
    rpc,
)
from txkombu.service import consumer

PAGE = DOCS / "howto" / "moving.rst"
STOMP = "stomp://guest:guest@localhost:61613"
FUNCTIONS: Final[dict[str, Any]] = {
    "BrokerConnection": BrokerConnection,
    "Consumer": Consumer,
    "Exchange": Exchange,
    "Producer": Producer,
    "Queue": Queue,
    "consumer": consumer,
    "publish": Producer.publish,
    "retry": policy.retry,
}
"""What the page shows calls of."""
PROPERTIES: Final = ("correlation_id", "reply_to")
"""Which C{publish} takes beside its named arguments."""
OBJECTS: Final[dict[str, Any]] = {
    "connection": BrokerConnection,
    "consumer": Consumer,
    "message": Message,
    "producer": Producer,
    "queue(connection)": Queue,
    "Exchange": Exchange,
}
"""What the page shows attributes of."""


class MovingPageTests(PageTestCase):
    """The snippets of the page."""

    async def test_snippets(self) -> None:
        """Those for each library run on the memory broker."""
        text = PAGE.read_text(encoding="utf-8")
        replace = {STOMP: "memory://moving-stomp"}
        self.assertGreater(await self.run_text(text, replace=replace), 25)


class MovingTablesTests(SynchronousTestCase):
    """The second columns of its tables."""

    def setUp(self) -> None:
        """Read what they show of us."""
        body = parse(PAGE.read_text(encoding="utf-8")).findall(nodes.tbody)
        self.rows = [row for each in body for row in each.findall(nodes.row)]
        self.shown = [
            literal.astext()
            for row in self.rows
            for literal in row[1].findall(nodes.literal)
        ]

    def test_many(self) -> None:
        """There is enough in them."""
        self.assertGreater(len(self.rows), 70)
        self.assertTrue(all(row[1].astext() for row in self.rows))

    def test_attributes(self) -> None:
        """Each attribute that they show is there."""
        checked = 0
        for owner, kind in OBJECTS.items():
            for text in self.shown:
                for name in re.findall(rf"(?<![\w.]){re.escape(owner)}\.(\w+)", text):
                    self.assertTrue(hasattr(kind, name), text)
                    checked += 1
        self.assertGreater(checked, 25)

    def test_arguments(self) -> None:
        """Each argument that they show is one of what takes arguments there."""
        known = {*inspect.signature(Message.reject).parameters, *PROPERTIES}
        for each in FUNCTIONS.values():
            known |= set(inspect.signature(each).parameters)
        names = {
            name
            for text in self.shown
            for name in re.findall(r"\b(\w+)=", text.partition("?")[0])
        }
        self.assertLessEqual(names, known)
        self.assertGreater(len(names), 15)

    def test_classes(self) -> None:
        """Each class that stands alone is one of ours."""
        for text in self.shown:
            if text != "None" and re.fullmatch(r"[A-Z]\w+", text):
                places = (exceptions, rpc)
                found = text in FUNCTIONS or any(hasattr(each, text) for each in places)
                self.assertTrue(found, text)
