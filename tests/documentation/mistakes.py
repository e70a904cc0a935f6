"""
Make the mistakes of L{tests.documentation.mistakes_list}, and write what is said of
them into docs/reference/mistakes.rst: C{python -m tests.documentation.mistakes}.
"""

from __future__ import annotations

import ast
import gc
import inspect
import os
import re
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final, cast

from pamqp import commands
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater, react
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from tests.documentation.entities import wrapped
from tests.documentation.mistakes_list import PRELUDE, SECTIONS, Mistake
from tests.support.paths import DOCS
from tests.support.unhandled import unhandled
from txkombu import BrokerConnection
from txkombu.transport.amqp.wire.methods import encode_method
from txkombu.transport.memory import forget_brokers

PAGE: Final = DOCS / "reference" / "mistakes.rst"
_FLAGS: Final = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_PORT: Final = ":5672"
"""The port in the code, which stands for one on which nothing listens, or a peer."""
_ADDRESS: Final = re.compile(r"0x[0-9a-f]+")
_OF_OTHER_OPENSSL: Final = {
    "packet length too long, record layer failure": "wrong version number"
}
"""What other versions of OpenSSL say, and what the page shows."""
_TURNS: Final = 200
"""How many turns of the reactor a line in the log may take."""

_INTRODUCTION: Final = f"""\
Mistakes
========

What people do wrong at first, what txkombu says then, and what helps. `Errors
<errors.rst>`__ has every error. Each of these programs begins with

.. code-block:: python

{textwrap.indent(PRELUDE, "   ")}
and each message is shown as txkombu gives it.
"""


class _Refusing(Protocol):
    """A broker that refuses the login, as RabbitMQ does; and one without TLS."""

    def dataReceived(self, data: bytes) -> None:
        if data.startswith(b"AMQP"):
            start = {"capabilities": {"authentication_failure_close": True}}
            self._send(
                commands.Connection.Start,
                version_minor=9,
                server_properties=start,
                mechanisms="PLAIN",
                locales="en_US",
            )
        elif data.startswith(b"\x01"):
            text = (
                "ACCESS_REFUSED - Login was refused using authentication mechanism "
                "PLAIN. For details see the broker logfile."
            )
            self._send(commands.Connection.Close, reply_code=403, reply_text=text)
        else:
            self._write(b"AMQP\x00\x00\x09\x01")
            cast("Any", self.transport).loseConnection()

    def _send(self, kind: Any, **arguments: object) -> None:
        self._write(encode_method(0, kind, **arguments))

    def _write(self, data: bytes) -> None:
        cast("Any", self.transport).write(data)


@implementer(ILogObserver)
class _Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        error = "" if failure is None else f"\n{_said(failure.value)}"
        self.lines.append(formatEvent(event) + error)


@contextmanager
def _logged() -> Iterator[list[str]]:
    log = _Log()
    globalLogPublisher.addObserver(log)
    try:
        yield log.lines
    finally:
        globalLogPublisher.removeObserver(log)


@contextmanager
def _in_a_folder() -> Iterator[None]:
    """Work in a folder that goes afterwards."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def _said(error: BaseException) -> str:
    text = "".join(traceback.format_exception_only(error)).strip()
    for said, shown in _OF_OTHER_OPENSSL.items():
        text = text.replace(said, shown)
    return _ADDRESS.sub("0x…", text)


async def message_of(mistake: Mistake, clock: Any) -> str:
    """
    Make a mistake, and return what is raised, or logged.

    @param clock: the running reactor.
    @raise AssertionError: the mistake has no consequence.
    """
    forget_brokers()
    port = _listen(clock)
    number = port.getHost().port  # type: ignore[attr-defined]  # of an IPv4 address
    if mistake.title == "Nothing listens":
        await maybeDeferred(port.stopListening)
    code = mistake.code.replace(_PORT, f":{number}")
    namespace: dict[str, Any] = {}
    try:
        with _in_a_folder(), _logged() as lines, redirect_stdout(StringIO()):
            said = await _consequence(mistake, code, namespace, lines, clock)
    finally:
        for value in namespace.values():
            if isinstance(value, BrokerConnection):
                await value.close()
        await maybeDeferred(port.stopListening)
    return said.replace(f":{number}", _PORT)


def _listen(clock: IReactorTCP) -> IListeningPort:
    factory: Any = Factory.forProtocol(_Refusing)
    factory.noisy = False
    return clock.listenTCP(0, factory, interface="127.0.0.1")


async def _consequence(
    mistake: Mistake,
    code: str,
    namespace: dict[str, Any],
    lines: list[str],
    clock: IReactorTime,
) -> str:
    exec(PRELUDE, namespace)
    try:
        await _run(code, namespace)
    except Exception as error:
        return _said(error)
    for _ in range(_TURNS if mistake.logged else 0):
        gc.collect(0)
        for line in lines:
            if mistake.logged in line:
                return line.strip()
        await deferLater(clock, 0.01)
    raise AssertionError(f"{mistake.title!r} has no consequence; logged: {lines}")


async def _run(code: str, namespace: dict[str, Any]) -> None:
    result = eval(compile(code, "<mistake>", "exec", _FLAGS), namespace)
    if inspect.isawaitable(result):
        await result


def section(mistake: Mistake, message: str) -> str:
    """
    Return the section of a mistake.

    @param message: what is raised or logged.
    """
    return "\n\n".join(
        [
            f"{mistake.title}\n{'~' * len(mistake.title)}",
            f".. code-block:: python\n\n{textwrap.indent(mistake.code, '   ')}",
            f".. code-block:: output\n\n{textwrap.indent(message, '   ')}",
            wrapped(f"*Cause:* {mistake.cause}"),
            wrapped(f"*Cure:* {mistake.cure}"),
        ]
    )


async def page(clock: Any, done: Callable[[], object] = lambda: None) -> str:
    """
    Make all mistakes, and return the page.

    @param done: called after each, as to forget what it logged.
    """
    parts = [_INTRODUCTION.rstrip()]
    for title, mistakes in SECTIONS.items():
        parts.append(f"{title}\n{'-' * len(title)}")
        for each in mistakes:
            with unhandled.wanted():
                parts.append(section(each, await message_of(each, clock)))
                gc.collect()
            done()
    return "\n\n".join(parts) + "\n"


def _write(_: object) -> Deferred[None]:
    async def write() -> None:
        PAGE.write_text(await page(reactor), encoding="utf-8")

    return Deferred.fromCoroutine(write())


if __name__ == "__main__":
    react(_write)
