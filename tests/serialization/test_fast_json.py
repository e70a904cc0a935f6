"""
JSON by orjson and msgspec gives what Python's json gives: values, texts and errors.

C{TXKOMBU_EXAMPLES} is how many examples are tried of each kind, 400 by default.
"""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import json
import math
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

import txkombu
from tests.serialization.test_json_codec import Lookalike, Money
from txkombu.exceptions import EncodeError
from txkombu.serialization import Registry, fast_json, json_codec

EXAMPLES: Final = int(os.environ.get("TXKOMBU_EXAMPLES", "400"))
JSON: Final = "application/json"
LONG: Final = "xé" * 2048
"""A text beside which the codec looks at few values one by one, and not at many."""


class Color(enum.Enum):
    """An enumeration that no codec takes."""

    RED = 1


class Level(enum.IntEnum):
    """An enumeration of numbers, which are ints."""

    LOW = 1


class Word(str, enum.Enum):
    """An enumeration of words, which are texts."""

    YES = "yes"


class OwnStr(str):
    """A text of a program."""


class OwnInt(int):
    """A number of a program."""


class OwnFloat(float):
    """A number of a program."""


class OwnList(list[object]):
    """A list of a program."""


class OwnDict(dict[str, object]):
    """A dict of a program."""


@dataclasses.dataclass
class Record:
    """Not JSON unless asked for."""

    name: str = "n"


Pair = collections.namedtuple("Pair", "left right")

numbers = (
    some.integers()
    | some.integers(-(2**63) - 2, -(2**63) + 2)
    | some.integers(2**64 - 2, 2**64 + 2)
    | some.floats()
)
texts = some.text(some.characters(exclude_categories=()), max_size=8)
ODD: Final[tuple[object, ...]] = (
    *(math.nan, math.inf, -math.inf, 2**64, 2**70, -(2**63) - 1),
    *("\ud800", "\ud83d\ude00", '"__type__"', "__type__", "null", "g\x00\x00\x00\x00"),
    *({1: 1}, {1.5: 1}, {None: 1}, {True: 1}, {math.nan: 1}, {(1, 2): 1}, {b"k": 1}),
    *({"\ud800": 1}, {OwnStr("k"): 1}, {Word.YES: 1}, {Level.LOW: 1}, {2**70: 1}),
    *({"__type__": None}, {"__type__": "x", "__value__": 1}),
    {"__type__": "uuid", "__value__": {"hex": "00"}, "more": 1},
    *(OwnStr("x"), OwnInt(3), OwnFloat(1.5), OwnList([1]), OwnDict(a=1), Pair(1, 2)),
    *(Color.RED, Level.LOW, Word.YES, Record(), Record, Money(), Lookalike()),
    *(b"x", b"\xff", bytearray(b"x"), memoryview(b"x"), {1}, frozenset({1}), range(3)),
    *(1j, ..., StopIteration, NotImplemented, object, len),
    *(collections.OrderedDict(a=1), collections.deque([1]), decimal.Decimal("1.50")),
    uuid.UUID("6f1a4d3e-0000-4000-8000-000000000001"),
    *(datetime(2024, 2, 29, tzinfo=timezone.utc), date(2024, 2, 29), time(1)),
    timedelta(1),
)
"""What is not plain JSON, and what looks as if it were not."""

plain = some.none() | some.booleans() | numbers | texts


def containers(
    inner: some.SearchStrategy[object],
) -> some.SearchStrategy[object]:
    """Make lists, tuples and dicts of values."""
    return (
        some.lists(inner, max_size=5)
        | some.lists(inner, max_size=3).map(tuple)
        | some.dictionaries(texts, inner, max_size=5)
    )


values = some.recursive(plain, containers, max_leaves=20)
odd_values = some.recursive(plain | some.sampled_from(ODD), containers, max_leaves=20)

digits = some.text("0123456789", min_size=1, max_size=400)
written_numbers = some.builds(
    "".join,
    some.tuples(
        some.sampled_from(["", "-", "+"]),
        digits,
        some.just("") | digits.map(lambda text: "." + text),
        some.just("") | some.from_regex(r"\A[eE][+-]?[0-9]{1,3}\Z").filter(str.isascii),
    ),
)
pieces = some.sampled_from(
    [
        *'0123456789-+.eE"\\[]{},: \t\n\r\x00\x01\x0b\x7f\xa0\ufeffé€\U0001f600',
        *("null", "true", "false", "NaN", "-Infinity", "[[", "]]", '"a":1'),
        *("\\u00e9", "\\ud800", "\\ud83d\\ude00", "\\/", "\\x"),
        *('"__type__"', '"\\u005f_type__":"decimal"'),
    ]
)


@some.composite
def broken(draw: some.DrawFn) -> str:
    """Write a value as either codec writes it, with some pieces put in or cut out."""
    body = json.dumps(draw(values), ensure_ascii=draw(some.booleans()))
    for _ in range(draw(some.integers(0, 3))):
        start = draw(some.integers(0, len(body)))
        end = start + draw(some.integers(0, 3))
        body = body[:start] + draw(some.just("") | pieces) + body[end:]
    return body


def outcome(function: Callable[[Any], object], argument: object) -> tuple[str, object]:
    """Return what a function returned or raised, and of which type that is."""
    try:
        result = function(argument)
    except Exception as error:
        return type(error).__name__, str(error)
    return "", result


def exact(value: object) -> object:
    """Return what tells values apart that compare as equal: types, NaN, order."""
    if isinstance(value, dict):
        return [(key, exact(each)) for key, each in value.items()]
    if isinstance(value, list):
        return [exact(each) for each in value]
    return type(value), repr(value)


class AgreeTests(SynchronousTestCase):
    """Each codec against the other."""

    def read(self, text: str) -> tuple[str, object]:
        """
        Read a text with both, which must agree; return what they say.  They must agree
        on it beside a long text, too.
        """
        for whole in (f'["{LONG}",{text}]', f'[{text},"{LONG}"]'):
            self.read_bytes(whole.encode(errors="surrogatepass"))
        error, result = outcome(json_codec.loads, text)
        fast_error, fast_result = outcome(fast_json.loads, text)
        self.assertEqual(fast_error, error, text)
        if error:
            self.assertEqual(fast_result, result, text)
        else:
            self.assertEqual(exact(fast_result), exact(result), text)
        self.read_bytes(text.encode(errors="surrogatepass"))
        return error, result

    def read_bytes(self, data: bytes) -> None:
        """Read bytes with both, which must agree."""
        error, result = outcome(lambda each: json_codec.loads(each.decode()), data)
        fast_error, fast_result = outcome(fast_json.loads_utf8, data)
        self.assertEqual(fast_error, error, data)
        self.assertEqual(exact(fast_result), exact(result), data)

    def write(self, value: object) -> None:
        """
        Write a value with both, which must agree, up to how floats are written.  They
        must agree on it beside a long text, too.
        """
        for whole in (value, [LONG, value], {"text": LONG, "value": value}):
            self._write(whole)

    def _write(self, value: object) -> None:
        error, result = outcome(json_codec.dumps, value)
        fast_error, fast_result = outcome(fast_json.dumps, value)
        self.assertEqual(fast_error, error, value)
        if error:
            self.assertEqual(fast_result, result, value)
            return
        assert isinstance(result, bytes)
        assert isinstance(fast_result, bytes)
        _, meant = self.read(result.decode())
        _, written = self.read(fast_result.decode())
        self.assertEqual(exact(written), exact(meant), value)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(values)
    def test_plain(self, value: object) -> None:
        """Values that JSON has a notation for."""
        self.write(value)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(odd_values)
    def test_odd(self, value: object) -> None:
        """Values with parts that JSON has no notation for, or that look alike."""
        self.write(value)

    def test_each_odd(self) -> None:
        """Each such part, by itself, twice, and within others."""
        for part in ODD:
            for value in (part, [part, part], {"a": (None, part)}, {"": [part, "é"]}):
                self.write(value)

    def test_not_finite(self) -> None:
        """NaN and the infinities are found, once or repeated, with nulls or without."""
        for number in (math.nan, -math.nan, math.inf, -math.inf, float("nan")):
            for value in (number, [number] * 3, [None, number], {"null": number}):
                self.write(value)
                self.assertNotIn(b":null", fast_json.dumps({"a": value}))
        self.assertEqual(fast_json.dumps([None, 1.7976931348623157e308])[:6], b"[null,")

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(broken())
    def test_texts(self, text: str) -> None:
        """Texts, most of which are not quite JSON."""
        self.read(text)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(some.lists(pieces, max_size=8).map("".join))
    def test_pieces(self, text: str) -> None:
        """Texts of pieces of JSON in any order."""
        self.read(text)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(written_numbers)
    def test_numbers(self, text: str) -> None:
        """Numbers of any length are read alike, to the last bit."""
        self.read(text)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(broken(), some.binary(max_size=3), some.integers(0, 60))
    def test_bytes(self, text: str, odd: bytes, at: int) -> None:
        """Bytes that are not always UTF-8."""
        data = text.encode(errors="surrogatepass")
        self.read_bytes(data[:at] + odd + data[at:])

    def test_limits(self) -> None:
        """Long integers, deep values and large exponents have the same limits."""
        for text in (
            *("1" * 4300, "1" * 4301, "-" + "1" * 4301, "1" * 400 + ".5"),
            *("1e308", "1e309", "-1e999", "1e-999", "1.7976931348623159e308"),
            *("[" * 100_000, '{"a":' * 100_000),
        ):
            self.read(text)
        for depth in (10, 253, 254, 255, 256, 300):
            value: object = None
            for _ in range(depth):
                value = [value] if depth % 2 else {"a": value}
            self.write(value)
        error, _ = outcome(fast_json.dumps, 10**4301)
        self.assertEqual(error, outcome(json_codec.dumps, 10**4301)[0])

    def test_deep_tuples(self) -> None:
        """Tuples have the same limits, and may not contain themselves."""
        for depth in (200, 254, 255, 256, 300, 900, 2500, 100_000):
            tuples: object = None
            for _ in range(depth):
                tuples = (tuples,)
            for value in (tuples, [tuples], {"a": tuples}, {"a": LONG, "b": tuples}):
                expected = outcome(json_codec.dumps, value)
                self.assertEqual(outcome(fast_json.dumps, value), expected, depth)
        in_list: list[object] = []
        in_list.append((in_list,))
        in_dict: dict[str, object] = {}
        in_dict["children"] = ({"parent": in_dict},)
        for value in (in_list, (in_list,), in_dict, [in_dict], {"a": (in_dict,)}):
            self.assertRaises(ValueError, fast_json.dumps, value)
            self.assertRaises(EncodeError, Registry().encode, value)

    def test_mark_last(self) -> None:
        """A typed value is found if its type is the last that has an underscore."""
        error, value = self.read('{"__value__":"1.50","__type__":"decimal"}')
        self.assertEqual((error, value), ("", decimal.Decimal("1.50")))

    def test_keys(self) -> None:
        """The last of several equal keys counts, in the place of the first."""
        _, value = self.read('{"a":1,"b":2,"a":3}')
        self.assertEqual(exact(value), exact({"a": 3, "b": 2}))

    def test_same_bytes(self) -> None:
        """But for floats the bodies are equal."""
        value = {"a": [1, None, True], 'é"\\\n\x00\x7f€': "\u2028\U0001f600", "": {}}
        self.assertEqual(fast_json.dumps(value), json_codec.dumps(value))

    def test_no_traces(self) -> None:
        """An error of the codec does not tell of the libraries' failure before it."""
        for name, argument in (("dumps", {1}), ("loads", "{")):
            chains = []
            for codec in (json_codec, fast_json):
                chain = []
                error: BaseException | None
                error = self.assertRaises(
                    (TypeError, ValueError), getattr(codec, name), argument
                )
                while error is not None:
                    chain.append((type(error), str(error)))
                    error = error.__context__
                chains.append(chain)
            self.assertEqual(chains[0], chains[1])


class SwitchTests(SynchronousTestCase):
    """When the libraries are used."""

    def floats(self, registry: Registry) -> bytes:
        """Write a float that each codec writes in its own way."""
        return registry.encode([1e-7]).body

    def test_by_default(self) -> None:
        """They are used where they are installed."""
        self.assertEqual(self.floats(Registry()), b"[1e-7]")

    def test_off(self) -> None:
        """One argument turns them off, and on again."""
        registry = Registry()
        registry.register_json(fast=False)
        self.assertEqual(self.floats(registry), b"[1e-07]")
        self.assertEqual(registry.decode(b"[1]", JSON, "utf-8"), [1])
        registry.register_json()
        self.assertEqual(self.floats(registry), b"[1e-7]")

    def test_error_says_where(self) -> None:
        """With them and without, an error names the part that is at fault."""
        registry = Registry()
        for fast in (True, False):
            registry.register_json(fast=fast)
            error = self.assertRaises(EncodeError, registry.encode, {"a": [1, {2}]})
            self.assertIn(", at body['a'][1]: TypeError", str(error))

    def run_without(self, missing: str) -> str:
        """Run the codec and C{--version} in a Python without a library."""
        return self.run_after(f"import sys; sys.modules[{missing!r}] = None\n")

    def run_after(self, code: str) -> str:
        """Run the codec and C{--version} in a Python that has run other code."""
        code += (
            "from txkombu.__main__ import main\n"
            "from txkombu.serialization import dumps, loads\n"
            "body = dumps([1e-7, 'é']).body\n"
            "print(ascii(body.decode()), loads(body, 'application/json', None) == "
            "[1e-7, 'é'])\n"
            "main(['--version'])\n"
        )
        root = str(Path(txkombu.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def test_not_installed(self) -> None:
        """Without either of them Python's json does it all, and --version says so."""
        version = f"txkombu {txkombu.__version__}\n"
        for missing in ("orjson", "msgspec"):
            self.assertEqual(
                self.run_without(missing),
                f"'[1e-07,\"\\xe9\"]' True\n{version}json by Python's json\n",
            )
        self.assertIn(f"json by {fast_json.LIBRARIES}\n", self.run_without("nothing"))

    def test_depth_not_bounded(self) -> None:
        """
        An orjson that takes tuples of any depth, for which 3.12 and 3.13 crash, is not
        used, and --version says why.
        """
        said = self.run_after(
            "import orjson\n"
            "orjson.dumps = lambda *_: b''\n"
            "orjson.__version__ = '3.13.0'\n"
        )
        self.assertEqual(
            said,
            f"'[1e-07,\"\\xe9\"]' True\ntxkombu {txkombu.__version__}\n"
            "json by Python's json, as orjson 3.13.0 crashes for deep tuples; install "
            "another version\n",
        )
