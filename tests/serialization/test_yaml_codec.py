"""YAML, as received from strangers."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from txkombu.serialization import yaml_codec as yamlcodec
from txkombu.serialization.yaml_codec import (
    YAML_DEPTH,
    YAML_LIMIT,
    dumps,
    guarded,
    loads,
)

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 10)}]\n"
    for name in "bcdefghijklmnopqrst"
)
MERGES = "a: &a {k: v}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{chr(ord(name) - 1)}'] * 10)}]}}\n"
    for name in "bcdefghijklm"
)


class YAMLTests(SynchronousTestCase):
    """Reading and writing, with the parser that is installed."""

    def load(self, text: str) -> object:
        """Read YAML with the loader under test."""
        return loads(text)

    def test_round_trip(self) -> None:
        """Dates, sets, bytes and the plain types come back as they were."""
        value = {
            "day": date(2024, 2, 29),
            "moment": datetime(2024, 2, 29, 12, 0, 1, 5),
            "zoned": datetime(2024, 2, 29, 12, 0, tzinfo=timezone.utc),
            "set": {1, 2},
            "bytes": b"\xff\x00",
            "text": "caf\u00e9\nnull",
            "plain": [1, -1.5, True, None, "yes", "1:30", "<<"],
        }
        self.assertEqual(self.load(dumps(value)), value)

    def test_recursive_reference(self) -> None:
        """A value that contains itself does so again when read."""
        value: dict[str, Any] = {"name": "root"}
        value["children"] = [{"parent": value}]
        back = self.load(dumps(value))
        assert isinstance(back, dict)
        self.assertEqual(back["name"], "root")
        self.assertIs(back["children"][0]["parent"], back)

    def test_aliases_share(self) -> None:
        """A thousand million laughs are references to a few small lists."""
        back = self.load(LAUGHS)
        assert isinstance(back, dict)
        self.assertIs(back["t"][0], back["t"][9])
        self.assertIs(back["t"][0], back["s"])

    def test_merge_keys(self) -> None:
        """Merge keys, which would multiply, are refused."""
        for text in (MERGES, "a: &a {k: v}\nb: {<<: *a}", "{!!merge x: {k: v}}"):
            error = self.assertRaises(yaml.YAMLError, self.load, text)
            self.assertIn("merge keys", str(error))

    def test_too_deep(self) -> None:
        """Nesting in any notation is refused when it is too deep."""
        for piece in ("- ", "[", "? ", "{a: "):
            error = self.assertRaises(yaml.YAMLError, self.load, piece * YAML_DEPTH * 2)
            self.assertIn(f"deeper than {YAML_DEPTH}", str(error))

    def test_far_too_deep(self) -> None:
        """Nesting that the parser itself may refuse, in its own words, is refused."""
        for piece in ("- ", "[", "? ", "{a: "):
            self.assertRaises(yaml.YAMLError, self.load, piece * 20_000)

    def test_deep_enough(self) -> None:
        """As deep as is allowed can be read, and depth is not length."""
        deep = YAML_DEPTH - 1
        back = self.load("[" * deep + "]" * deep)
        for _ in range(deep - 1):
            assert isinstance(back, list)
            back = back[0]
        self.assertEqual(back, [])
        self.assertEqual(self.load("- 1\n" * 1000), [1] * 1000)

    def test_long_integers(self) -> None:
        """Integers that would take quadratic time are refused."""
        for text in ("1" + ":1" * 5000, "9" * 5000, "0x" + "f" * 5000):
            error = self.assertRaises(yaml.YAMLError, self.load, text)
            self.assertIn("an integer of", str(error))
        self.assertEqual(self.load("[12, 0x10, 1:30]"), [12, 16, 90])

    def test_python_objects(self) -> None:
        """Tags that name Python objects are refused."""
        for text in (
            "!!python/object/apply:os.getcwd []",
            "!!python/name:os.getcwd",
            "!!python/tuple [1, 2]",
        ):
            self.assertRaises(yaml.YAMLError, self.load, text)


class PurePythonTests(YAMLTests):
    """The same with the parser written in Python, which not all need."""

    def load(self, text: str) -> object:
        """Read YAML with the loader under test."""
        value: object = yaml.load(text, Loader=guarded(yaml.SafeLoader))
        return value


class LimitTests(SynchronousTestCase):
    """The bound on the size, and what cannot be written or read."""

    def test_size(self) -> None:
        """As much as is allowed is read, one character more is refused."""
        text = "x" * YAML_LIMIT
        self.assertEqual(loads(text), text)
        error = self.assertRaises(ValueError, loads, text + "x")
        self.assertIn(str(YAML_LIMIT), str(error))

    def test_no_yaml(self) -> None:
        """Text that is no YAML, or more than one document, is refused."""
        for text in ("{", "a: b: c", "'", "--- 1\n--- 2", "\x00", "*nobody"):
            self.assertRaises(yaml.YAMLError, loads, text)

    def test_impossible(self) -> None:
        """What safe YAML has no notation for cannot be written."""
        self.assertRaises(yaml.YAMLError, dumps, object())

    def test_parser_in_c(self) -> None:
        """The parser in C is used where PyYAML has one."""
        base = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
        self.assertTrue(issubclass(yamlcodec._loader(), base))
