"""What others wrote, as it stands in errors and log lines."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.shown import SHOWN_MOST, cut, printable, shown, shown_error


class ShownTests(SynchronousTestCase):
    """Short, and escaped."""

    def test_short(self) -> None:
        """What is short and plain is shown as it is."""
        for value in (
            "text",
            b"bytes",
            5,
            ["list"],
            None,
            "x" * SHOWN_MOST,
            "\n" * 150,
        ):
            self.assertEqual(shown(value), repr(value))
        self.assertEqual(cut("text"), "text")
        self.assertEqual(printable("caf\u00e9 'x'"), "caf\u00e9 'x'")

    def test_cut(self) -> None:
        """Of what is longer the beginning is shown, and that there is more."""
        for value in ("x" * 10_000, b"x" * 10_000, ["x" * 10_000]):
            self.assertLess(len(shown(value)), SHOWN_MOST + 5)
            self.assertTrue(shown(value).endswith("…"))

    def test_escaped(self) -> None:
        """What a terminal would obey is escaped."""
        clear = "\x1b[2J\n\x9b\u202e\x07"
        self.assertEqual(printable(clear), "\\x1b[2J\\n\\x9b\\u202e\\x07")
        for text in (shown(clear), shown([clear]), shown_error(ValueError(clear))):
            self.assertTrue(text.isprintable())

    def test_error(self) -> None:
        """An error is shown by its type and text, if it has one."""
        self.assertEqual(shown_error(ValueError(" why ")), "ValueError: why")
        self.assertEqual(shown_error(ValueError()), "ValueError")
        self.assertLess(len(shown_error(ValueError("x" * 10_000))), SHOWN_MOST + 20)
