"""What the tests of recipes share: the files of one page, and a broker in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, FileBodyProducer
from twisted.web.http_headers import Headers

from tests.support.broker_process import HOST, free_ports
from tests.support.paths import DOCS
from tests.support.snippets import files_of
from tests.support.web import body_of
from txkombu import BrokerConnection, Message, Queue
from txkombu.exceptions import NotFound
from txkombu.transport.memory import forget_brokers

COOKBOOK = DOCS / "howto" / "cookbook"
BROKER = "memory://cookbook"
SECONDS = 30.0


def recipe_text(page: str) -> str:
    """Return the text of a recipe's page."""
    return COOKBOOK.joinpath(page).read_text(encoding="utf-8")


class RecipeCase(TestCase):
    """
    Tests one recipe.

    @cvar page: the name of its page.
    @cvar broker: the URL of the broker that its programs use.
    @ivar home: the folder with its files, which is the current one.
    """

    page = ""
    broker = BROKER

    def setUp(self) -> None:
        forget_brokers()
        self.addCleanup(forget_brokers)
        self.home = Path(self.mktemp()).resolve()
        self.home.mkdir(parents=True)
        self.files = files_of(recipe_text(self.page))
        for name, text in self.files.items():
            self.home.joinpath(name).write_text(text, encoding="utf-8")
            if name.endswith(".py"):
                self.addCleanup(sys.modules.pop, name.removesuffix(".py"), None)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.home)
        self.patch(sys, "path", [str(self.home), *sys.path])
        self.patch(os, "environ", {**os.environ, "TXKOMBU_BROKER": self.broker})

    def text_of_page(self) -> str:
        """Return the text of the page."""
        return recipe_text(self.page)

    def load(self, name: str) -> Any:
        """Import a module of the recipe."""
        self.assertIn(f"{name}.py", self.files)
        return import_module(name)

    def run_tac(self, name: str) -> dict[str, Any]:
        """Run a C{.tac} file, which starts nothing; return its names."""
        shown: dict[str, Any] = {}
        exec(compile(self.files[name], name, "exec"), shown)
        return shown

    def start(self, service: Any) -> None:
        """Start a service, which is stopped at the end of the test at the latest."""
        service.startService()
        self.addCleanup(service.stopService)

    def listen(self) -> str:
        """Choose where a web server of the recipe listens; return its address."""
        [port] = free_ports(1)
        os.environ["LISTEN"] = f"tcp:{port}:interface={HOST}"
        return f"http://{HOST}:{port}"

    async def request(
        self, method: str, address: str, body: bytes | None = None
    ) -> tuple[int, str, Headers]:
        """Make a request; return code, text and headers of the answer."""
        response = await Agent(reactor).request(
            method.encode(),
            address.encode(),
            Headers(),
            None if body is None else FileBodyProducer(BytesIO(body)),
        )
        text = await body_of(response)
        return response.code, text.decode(), response.headers

    async def take(self, queue: str) -> Message:
        """Wait for the next message of a queue, and take it."""
        async with BrokerConnection(self.broker) as connection:
            for _ in range(round(SECONDS / 0.005)):
                try:
                    message = await Queue(queue)(connection).get(no_ack=True)
                except NotFound:  # nobody has declared it yet
                    message = None
                if message is not None:
                    return message
                await deferLater(reactor, 0.005)
        raise self.failureException(f"no message came into {queue!r}")

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition is true, or for a long time."""
        for _ in range(round(SECONDS / 0.005)):
            if condition():
                return
            await deferLater(reactor, 0.005)
        self.fail(f"waited in vain until {what}")

    def begin(self, work: Any) -> Deferred[Any]:
        """Begin with a coroutine."""
        return Deferred.fromCoroutine(work)
