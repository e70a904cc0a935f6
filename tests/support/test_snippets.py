"""
The runner of the documentation's snippets finds what is not true.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.snippets import PageTestCase, WrongPage, files_of

TRACEBACK = "Traceback (most recent call last):\n    ...\n"


class RunnerTests(PageTestCase):
    """The runner finds what is not true."""

    async def wrong(self, text: str, **options: Any) -> str:
        """Run a page that must fail, and return the error's text."""
        with self.assertRaises(WrongPage) as caught:
            await self.run_text(text, **options)
        return str(caught.exception)

    async def test_counts(self) -> None:
        """Statements and programs are counted; they share one namespace."""
        text = (
            ">>> a = 1\n>>> a\n1\n\n.. code-block:: python\n\n   a += 1\n\n>>> a\n2\n"
        )
        self.assertEqual(await self.run_text(text), 4)

    async def test_await(self) -> None:
        """C{await} may stand anywhere, and its value is shown."""
        text = ">>> from twisted.internet.defer import succeed\n>>> await succeed(3)\n3"
        self.assertEqual(await self.run_text(text), 2)

    async def test_output(self) -> None:
        """Another output than the one shown is wrong."""
        said = await self.wrong(">>> 1 + 1\n3\n", seconds=0.05)
        self.assertIn("expected '3\\n'\nprinted  '2\\n'", said)

    async def test_unshown_output(self) -> None:
        """Output that is not shown is wrong."""
        self.assertIn("'here\\n'", await self.wrong(">>> print('here')\n"))

    async def test_late_output(self) -> None:
        """The runner waits for what the reactor prints."""
        text = (
            ">>> from twisted.internet import reactor\n"
            ">>> call = reactor.callLater(0.02, print, 'late')\n\n"
            ".. code-block:: text\n\n   late\n"
        )
        self.assertEqual(await self.run_text(text), 2)

    async def test_missing_output(self) -> None:
        """Output that is shown and does not appear is wrong."""
        text = ">>> a = 1\n\n.. code-block:: text\n\n   never\n"
        self.assertIn("'never\\n'", await self.wrong(text, seconds=0.05))

    async def test_error(self) -> None:
        """An error that is not shown is wrong, in a session and in a program."""
        self.assertIn("ZeroDivisionError", await self.wrong(">>> 1 / 0\n"))
        program = ".. code-block:: python\n\n   1 / 0\n"
        self.assertIn("ZeroDivisionError", await self.wrong(program))

    async def test_missing_error(self) -> None:
        """An error that is shown and does not occur is wrong."""
        text = (
            ">>> a = 1\nTraceback (most recent call last):\n    ...\nValueError: no\n"
        )
        self.assertIn("raised nothing", await self.wrong(text))

    async def test_other_error(self) -> None:
        """An error with another text than the one shown is wrong."""
        text = (
            ">>> int('a')\nTraceback (most recent call last):\n    ...\nValueError: b\n"
        )
        self.assertIn("invalid literal", await self.wrong(text))

    async def test_endless(self) -> None:
        """A statement that does not end in time is wrong."""
        text = (
            ">>> from twisted.internet.defer import Deferred\n>>> await Deferred()\n\n"
        )
        self.assertIn("not over", await self.wrong(text, seconds=0.05))

    async def test_loop(self) -> None:
        """A loop keeps running, and ends with the page."""
        text = ">>> while True:\n...     await later(cancelled)\n\n>>> 1\n1\n"
        prepare = (
            ">>> from twisted.internet.defer import Deferred\n"
            ">>> cancelled = []\n"
            ">>> def later(cancelled):\n"
            "...     return Deferred(cancelled.append)\n\n"
        )
        self.assertEqual(await self.run_text(prepare + text), 5)
        self.assertEqual(len(self.runner.namespace["cancelled"]), 1)

    async def test_loop_ends(self) -> None:
        """A loop that ends by itself is wrong."""
        text = ">>> while True:\n...     1 / 0\n"
        self.assertIn("ended by itself", await self.wrong(text))


class FilesTests(SynchronousTestCase):
    """The files that a page shows."""

    def test_named(self) -> None:
        """A block has the name that the paragraph before it begins with."""
        block = ".. code-block:: python\n\n   print(1)\n\n"
        text = (
            f"``one.py``:\n\n{block}"
            f"``two.tac``, which has\nmore:\n\n{block}"
            f"Run ``three.py``:\n\n{block}"
            f"``four.py`` is like it.\n\n{block}"
        )
        expected = {"one.py": "print(1)\n", "two.tac": "print(1)\n"}
        self.assertEqual(files_of(text), expected)
