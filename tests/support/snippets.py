"""
Runs the snippets of a page of the documentation, as a reader would.

A page has three kinds of blocks.  A I{session} is a block with C{>>>} prompts; the text
after a statement is what the statement prints.  A I{program} is a C{code-block} of
C{python}.  A I{screen} is a C{code-block} of C{text}: what the reactor has printed
since the last block or statement with output.  In sessions and programs C{await} may
stand anywhere, and all of them share one namespace.  Everything that is printed has to
be shown.

A statement that begins with C{while True:} keeps running until the end of the page, as
if in another shell.  It ends when its connection is closed, and must not end by itself.
The statements after it run when the consumers that it starts are running, because a
reader is not faster.
"""

from __future__ import annotations

import ast
import doctest
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache
from inspect import isawaitable
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.core import publish_doctree
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from txkombu import BrokerConnection, Consumer, Queue
from txkombu.compression import compressors
from txkombu.exceptions import ConnectionClosed
from txkombu.serialization import json_codec, registry
from txkombu.transport.memory import forget_brokers

SECONDS = 30.0
"""
Seconds that one snippet, or its output, may take.
"""

_FILE_NAME = re.compile(r"\A([\w.-]+\.[a-z]+)\b[^`]*:\Z", re.DOTALL)
_STEP = 0.005
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_OPTIONS = doctest.ELLIPSIS
_SETTINGS = {"report_level": 2, "halt_level": 2, "syntax_highlight": "none"}


class Snippet(NamedTuple):
    """
    One block of a page.

    @ivar kind: C{"session"}, C{"program"}, C{"screen"}, or another language.
    """

    kind: str
    text: str
    line: int


class WrongPage(AssertionError):
    """A page shows something that is not true."""


@cache
def parse(text: str) -> nodes.document:
    """
    Read a page, once for all who look at it; they do not change it.

    @raise docutils.utils.SystemMessage: it is not well-formed.
    """
    return publish_doctree(text, settings_overrides=_SETTINGS)


def links_of(page: Path) -> Iterator[str]:
    """
    Give the targets of a page's links, but for those that lead to other sites.

    @param page: its file.
    """
    for node in parse(page.read_text(encoding="utf-8")).findall(nodes.reference):
        target = str(node.get("refuri") or f"#{node.get('refid')}")
        if ":" not in target:
            yield target


def broken_link(page: Path, target: str) -> str:
    """
    Return what is wrong with a link of a page, or an empty text.

    @param page: the file that has the link.
    @param target: a file, relative to the page, a section of it, or both.
    """
    name, _, section = target.partition("#")
    path = page.parent / name if name else page
    if not path.exists():
        return f"{page.name} links to {name}, which is not there"
    if section and section not in _sections(path):
        return f"{page.name} links to section {section} of {path.name}, which has none"
    return ""


@cache
def _sections(page: Path) -> frozenset[str]:
    """Return the names that links to sections of a page use; read each page once."""
    return frozenset(parse(page.read_text(encoding="utf-8")).ids)


def snippets_of(text: str) -> list[Snippet]:
    """Return the blocks of a page, in order."""
    return [_snippet(node) for node in parse(text).findall(_is_block)]


def files_of(text: str) -> dict[str, str]:
    """
    Return the files that a page shows, by name: the blocks behind a paragraph that
    begins with the name and ends with a colon, such as "``feeds.py``:".
    """
    files: dict[str, str] = {}
    for block in parse(text).findall(nodes.literal_block):
        before = block.previous_sibling()
        if isinstance(before, nodes.paragraph):
            found = _FILE_NAME.search(before.astext())
            if found is not None:
                files[found[1]] = block.astext() + "\n"
    return files


def _is_block(node: nodes.Node) -> bool:
    return isinstance(node, nodes.doctest_block | nodes.literal_block)


def _snippet(node: Any) -> Snippet:
    kinds = {"python": "program", "text": "screen"}
    kind = "session"
    if isinstance(node, nodes.literal_block):
        language = [each for each in node["classes"] if each != "code"]
        kind = kinds.get(language[0], language[0]) if language else "plain"
    return Snippet(kind, node.astext(), node.line or 0)


class Runner:
    """
    Runs one page.

    @param name: the page's name, for messages.
    @param clock: the running reactor.
    @param replace: texts to replace in snippets before they run.
    @ivar namespace: the globals of its snippets.
    """

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        replace: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.namespace: dict[str, Any] = {"__name__": f"docs.{name}"}
        self._name = name
        self._clock = clock
        self._replace = replace or {}
        self._seconds = seconds
        self._screen = StringIO()
        self._seen = 0
        self._loops: list[tuple[str, Deferred[Any]]] = []
        self._checker = doctest.OutputChecker()

    async def run(self, text: str) -> int:
        """
        Run all snippets of a page.

        @return: how many statements and programs were run.
        @raise WrongPage: one does something else than the page shows.
        """
        with redirect_stdout(self._screen), _display(self._show):
            try:
                count = 0
                for snippet in snippets_of(text):
                    count += await self._run(snippet)
                await self._printed("", "the end of the page")
                self._check_loops()
            finally:
                self._end_loops()
        return count

    async def _run(self, snippet: Snippet) -> int:
        where = f"{self._name}, line {snippet.line}"
        if snippet.kind == "session":
            examples = doctest.DocTestParser().get_examples(snippet.text)
            for example in examples:
                await self._run_example(example, where)
            return len(examples)
        if snippet.kind == "program":
            await self._run_program(snippet.text, where)
            return 1
        if snippet.kind == "screen":
            await self._printed(snippet.text + "\n", where)
        return 0

    # --- running --------------------------------------------------------------

    async def _run_example(self, example: doctest.Example, where: str) -> None:
        where = f"{where}: {example.source.strip()}"
        if example.source.startswith("while True:"):
            self._loops.append((where, self._begin(example.source, "single")))
            await self._until(self._all_consume)
            return
        if example.want:
            await self._printed("", f"before {where}")
        try:
            await self._bounded(self._begin(example.source, "single"), where)
        except WrongPage:
            raise
        except Exception as error:
            self._check_error(error, example, where)
        else:
            if example.exc_msg is not None:
                raise WrongPage(f"{where}\nraised nothing")
            if example.want:
                await self._printed(example.want, where)

    async def _run_program(self, source: str, where: str) -> None:
        try:
            await self._bounded(self._begin(source, "exec"), where)
        except WrongPage:
            raise
        except Exception as error:
            raise WrongPage(f"{where}\nraised {_shown(error)}") from error

    def _begin(self, source: str, mode: str) -> Deferred[Any]:
        for old, new in self._replace.items():
            source = source.replace(old, new)

        async def execute() -> None:
            code = compile(source, f"<{self._name}>", mode, _FLAGS, True)
            result = eval(code, self.namespace)
            if isawaitable(result):
                await result

        return Deferred.fromCoroutine(execute())

    def _bounded(self, began: Deferred[Any], where: str) -> Awaitable[Any]:
        def late(result: object, seconds: float) -> None:
            raise WrongPage(f"{where}\nwas not over within {seconds:g} s")

        # The clock's type is wider than the one that addTimeout asks for.
        return began.addTimeout(self._seconds, self._clock, onTimeoutCancel=late)

    def _check_error(
        self, error: Exception, example: doctest.Example, where: str
    ) -> None:
        wanted, got = example.exc_msg, f"{_shown(error)}\n"
        if wanted is None or not self._checker.check_output(wanted, got, _OPTIONS):
            raise WrongPage(f"{where}\nraised {got}") from error

    # --- what is printed ------------------------------------------------------

    def _show(self, value: object) -> None:
        if value is not None:
            print(repr(value))

    async def _printed(self, want: str, where: str) -> None:
        """
        Wait until exactly this text was printed since the last output that was shown.
        """
        if want:
            await self._until(lambda: self._is(want, self._unseen()))
        else:
            await deferLater(self._clock, _STEP)
        got = self._unseen()
        self._seen += len(got)
        if not self._is(want, got):
            raise WrongPage(f"{where}\nexpected {want!r}\nprinted  {got!r}")

    def _is(self, want: str, got: str) -> bool:
        return self._checker.check_output(want, got, _OPTIONS)

    def _unseen(self) -> str:
        return self._screen.getvalue()[self._seen :]

    async def _until(self, done: Callable[[], bool]) -> None:
        """Wait until a condition is true, or for as long as a snippet may take."""
        limit = self._clock.seconds() + self._seconds
        while not done() and self._clock.seconds() < limit:
            await deferLater(self._clock, _STEP)

    # --- loops ----------------------------------------------------------------

    def _all_consume(self) -> bool:
        """Return whether a reader would find that all consumers are started."""
        consumers = [
            each for each in self.namespace.values() if isinstance(each, Consumer)
        ]
        return all(
            each.consuming_from(queue)
            for each in consumers
            if each.can_handle
            for queue in list(each.queues)  # type: ignore[arg-type]  # is a list by now
        )

    def _check_loops(self) -> None:
        for where, loop in self._loops:
            loop.addErrback(lambda failure: failure.trap(ConnectionClosed))
            if loop.called and loop.result is not ConnectionClosed:
                raise WrongPage(f"{where}\nended by itself: {loop.result}")

    def _end_loops(self) -> None:
        for _, loop in self._loops:
            loop.addErrback(lambda failure: None)
            loop.cancel()


@contextmanager
def _display(show: Callable[[object], None]) -> Iterator[None]:
    """Make C{show} print the values of statements."""
    before, sys.displayhook = sys.displayhook, show
    try:
        yield
    finally:
        sys.displayhook = before


def _shown(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


async def forget_queues(url: str) -> None:
    """Delete the queues of the introduction, in which a run of it leaves a message."""
    async with BrokerConnection(url) as connection:
        for name in ("video", "image", "wallstreet", "feed"):
            await Queue(name)(connection).delete()


class PageTestCase(TestCase):
    """
    Runs pages, each with memory brokers of its own.

    @ivar runner: the runner of the last page.
    """

    def setUp(self) -> None:
        """Undo afterwards what a page did to the process."""
        self.addCleanup(forget_brokers)
        self.patch(registry, "_by_name", dict(registry._by_name))
        self.patch(registry, "_by_type", dict(registry._by_type))
        self.patch(compressors, "_methods", dict(compressors._methods))
        self.patch(json_codec, "_WRITERS", dict(json_codec._WRITERS))
        self.patch(json_codec, "_READERS", dict(json_codec._READERS))

    async def run_text(self, text: str, **options: Any) -> int:
        """
        Run a page, and close what it left open.

        @param options: as for L{Runner}.
        @return: how many statements and programs it had.
        """
        self.runner = Runner("page", IReactorTime(reactor), **options)
        try:
            return await self.runner.run(text)
        finally:
            for value in self.runner.namespace.values():
                if isinstance(value, BrokerConnection):
                    await value.close()
