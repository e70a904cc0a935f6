"""
Checks of what users pass in.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.validation import (
    check_arguments,
    check_auto_declare,
    check_bool,
    check_callable,
    check_count,
    check_delivery_mode,
    check_seconds,
    check_short_string,
    milliseconds,
    refuse_options,
)


class CallableTests(SynchronousTestCase):
    """C{check_callable}"""

    def test_arguments_are_hidden(self) -> None:
        """A partial is shown as its function: its arguments may be passwords."""

        def three(key: str, body: object, message: object) -> None:
            """Take three arguments."""

        right = partial(three, "secret")
        self.assertIs(check_callable("it", right, 2), right)
        wrong = partial(partial(three, "secret"), None)
        error = self.assertRaises(TypeError, check_callable, "it", wrong, 2)
        self.assertRegex(str(error), r"it is called with 2 arguments; .*three.* takes")
        self.assertNotIn("secret", str(error))


class ShortStringTests(SynchronousTestCase):
    """C{check_short_string}"""

    def test_limit_in_bytes(self) -> None:
        """255 bytes of UTF-8 are fine and 256 are not, whatever the characters."""
        for char in ("a", "é", "€", "\U0001f600"):
            size = len(char.encode())
            fits = char * (255 // size)
            self.assertEqual(check_short_string("it", fits), fits)
            error = self.assertRaises(ValueError, check_short_string, "it", fits + char)
            self.assertIn(f"it has {len((fits + char).encode())} bytes", str(error))

    def test_error_is_short(self) -> None:
        """The error shows only the beginning of what was too long."""
        error = self.assertRaises(ValueError, check_short_string, "it", "x" * 10**6)
        self.assertLess(len(str(error)), 200)

    def test_not_utf8(self) -> None:
        """What cannot be encoded is refused."""
        error = self.assertRaises(ValueError, check_short_string, "it", "\ud800")
        self.assertIn("it '\\ud800' cannot be written as UTF-8", str(error))

    def test_type(self) -> None:
        """Only a str is one."""
        for wrong in (b"x", None, 5):
            error = self.assertRaises(TypeError, check_short_string, "it", wrong)
            self.assertEqual(str(error), f"it must be a str, not {wrong!r}")

    @given(st.text())
    def test_any(self, text: str) -> None:
        """A text is let through unchanged exactly when its UTF-8 is short."""
        try:
            fits = len(text.encode("utf-8")) <= 255
        except UnicodeEncodeError:
            fits = False
        if fits:
            self.assertIs(check_short_string("it", text), text)
        else:
            self.assertRaises(ValueError, check_short_string, "it", text)


class NumberTests(SynchronousTestCase):
    """Counts, seconds, milliseconds, booleans."""

    def test_bool(self) -> None:
        """Only True and False are; neither 1 nor None is."""
        self.assertIs(check_bool("it", True), True)
        self.assertIs(check_bool("it", False), False)
        for wrong in (1, 0, None, "yes"):
            self.assertRaises(TypeError, check_bool, "it", wrong)

    def test_count(self) -> None:
        """An int in the range, or None."""
        self.assertEqual(check_count("it", 0), 0)
        self.assertEqual(check_count("it", 255, 1, 255), 255)
        self.assertIsNone(check_count("it", None))
        for wrong in (True, 1.0, "1"):
            self.assertRaises(TypeError, check_count, "it", wrong)
        error = self.assertRaises(ValueError, check_count, "it", -1)
        self.assertEqual(str(error), "it must be at least 0, not -1")
        error = self.assertRaises(ValueError, check_count, "it", 256, 1, 255)
        self.assertEqual(str(error), "it must be 1 to 255, not 256")

    def test_seconds(self) -> None:
        """A finite number that is not negative."""
        self.assertEqual(check_seconds("it", 0), 0)
        self.assertEqual(check_seconds("it", 1.5), 1.5)
        for wrong in (-1, -0.001, float("inf"), float("nan")):
            self.assertRaises(ValueError, check_seconds, "it", wrong)
        for other in (True, None, "1"):
            self.assertRaises(TypeError, check_seconds, "it", other)

    def test_milliseconds(self) -> None:
        """Seconds become whole milliseconds; what floats add is not cut off."""
        for seconds, wanted in {20: 20000, 30.3: 30300, 1.5: 1500, 0: 0}.items():
            self.assertEqual(milliseconds("it", seconds), wanted)
        for hundredths in range(1000):
            found = milliseconds("it", hundredths / 100)
            self.assertEqual(found, hundredths * 10)
        self.assertIsNone(milliseconds("it", None))
        self.assertIs(type(milliseconds("it", 1.0)), int)

    def test_least_milliseconds(self) -> None:
        """A least number of milliseconds can be asked for."""
        self.assertEqual(milliseconds("it", 0.001, minimum=1), 1)
        error = self.assertRaises(ValueError, milliseconds, "it", 0.0005, minimum=1)
        self.assertEqual(str(error), "it must be at least 1 ms, not 0.0005 s")


class DeliveryModeTests(SynchronousTestCase):
    """C{check_delivery_mode}"""

    def test_values(self) -> None:
        """1, 2 and their names; None stays None."""
        for given_, wanted in {1: 1, 2: 2, "transient": 1, "persistent": 2}.items():
            self.assertEqual(check_delivery_mode(given_), wanted)
        self.assertIsNone(check_delivery_mode(None))

    def test_nothing_else(self) -> None:
        """Nothing else, not even what compares equal to 1."""
        values: list[object] = [True, 1.0, 0, 3, "2", "Persistent", [], b"transient"]
        for wrong in values:
            error = self.assertRaises(ValueError, check_delivery_mode, wrong)
            self.assertIn(f"not {wrong!r}", str(error))


class ArgumentsTests(SynchronousTestCase):
    """C{check_arguments}"""

    def test_copy(self) -> None:
        """Any mapping is copied into a dict."""
        mine = {"x-a": 1}
        found = check_arguments("arguments", MappingProxyType(mine))
        self.assertEqual(found, mine)
        self.assertIsNot(found, mine)
        self.assertEqual(check_arguments("arguments", None), {})

    def test_wrong(self) -> None:
        """What is no mapping, or has keys that are no short strings, is refused."""
        cases: list[tuple[Any, type[Exception], str]] = [
            ([("a", 1)], TypeError, "arguments must be a mapping"),
            ("a", TypeError, "arguments must be a mapping"),
            ({1: 2}, TypeError, "key of arguments must be a str, not 1"),
            ({"k" * 256: 1}, ValueError, "key of arguments has 256 bytes"),
        ]
        for value, kind, text in cases:
            error = self.assertRaises(kind, check_arguments, "arguments", value)
            self.assertIn(text, str(error))


class OptionTests(SynchronousTestCase):
    """Options that a call sets itself."""

    def test_refused(self) -> None:
        """The error names the call and the option, whatever its value."""
        refuse_options("call()", {"other": 1}, ["own", "mine"])
        with self.assertRaisesRegex(TypeError, r"^call\(\) sets mine itself: leave it"):
            refuse_options("call()", {"other": 1, "mine": None}, ["own", "mine"])


class AutoDeclareTests(SynchronousTestCase):
    """C{check_auto_declare}"""

    def test_values(self) -> None:
        """True, False and "passive", and nothing else."""
        for right in (True, False, "passive"):
            self.assertEqual(check_auto_declare(right), right)
        for wrong in (None, 1, "active"):
            self.assertRaises(ValueError, check_auto_declare, wrong)
