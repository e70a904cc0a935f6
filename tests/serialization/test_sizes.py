"""Bodies that would become too large a value."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import ClassVar

import msgpack
from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.limits import MAX_BODY_SIZE, value_limit
from txkombu.exceptions import DecodeError, EncodeError
from txkombu.serialization import Registry

JSON = "application/json"
YAML = "application/x-yaml"
MSGPACK = "application/x-msgpack"
MIB = 1024 * 1024
LIMIT = 64 * 1024
"""What the values here may count as; a thousand lists do."""


def laughs(levels: int) -> str:
    """Write a YAML list that is ten times as long with each level."""
    text = "- &a0 [x]\n"
    for level in range(1, levels + 1):
        text += f"- &a{level} [{', '.join([f'*a{level - 1} '] * 10)}]\n"
    return text


def circles(size: int) -> str:
    """Write YAML lists in lists, each with aliases of all that it is in."""
    text = ""
    for at in reversed(range(size)):
        outer = ", ".join(f"*n{above} " for above in range(at))
        text = f"&n{at} [{', '.join(filter(None, [text, outer]))}]"
    return f"[{text}, *n{size - 1} ]"


class SizeTestCase(SynchronousTestCase):
    """
    Each test has a registry of its own.

    @cvar fast: whether json uses orjson and msgspec.
    """

    fast: ClassVar[bool] = True

    def setUp(self) -> None:
        """Make the registry."""
        self.registry = Registry()
        self.registry.register_json(self.fast)

    def read(self, body: bytes | str, kind: str, limit: int = LIMIT) -> object:
        """Decode a body that arrived compressed very small."""
        data = body.encode() if isinstance(body, str) else body
        encoding = "binary" if kind == MSGPACK else "utf-8"
        return self.registry.decode(data, kind, encoding, None, limit, 1)

    def refuse(self, body: bytes | str, kind: str, limit: int = LIMIT) -> None:
        """See that a body is refused, with little memory, by the limit's name."""
        tracemalloc.start()
        try:
            error = self.assertRaises(DecodeError, self.read, body, kind, limit)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertIn(f"count as more than {limit} bytes", str(error))
        self.assertIn("raise max_body_size", str(error))
        self.assertLess(peak, 4 * len(body) + 8 * MIB)


class MsgpackSizeTests(SizeTestCase):
    """Msgpack announces lengths."""

    def test_announced(self) -> None:
        """Lists that announce more than there is are refused before room is made."""
        for head in (b"\xdd\x00\x10\x00\x00", b"\xdc\xff\xff"):
            self.refuse(head * 1000, MSGPACK, MAX_BODY_SIZE)

    def test_each_container(self) -> None:
        """A thousand lists, maps or extensions are taken, some more are not."""
        for each in (
            b"\x90",
            b"\x80",
            b"\x91\xc0",
            b"\x81\xa1k\x01",
            b"\xdc\x00\x00",
            b"\xdd\x00\x00\x00\x00",
            b"\xde\x00\x00",
            b"\xdf\x00\x00\x00\x00",
            b"\xd4\x01x",
            b"\xd8\x01" + b"x" * 16,
            b"\xc7\x00\x01",
            b"\xc8\x00\x01\x01x",
            b"\xc9\x00\x00\x00\x01\x01x",
        ):
            for count, taken in ((700, True), (1000, False)):
                body = b"\xdc" + count.to_bytes(2, "big") + each * count
                if taken:
                    value = self.read(body, MSGPACK)
                    assert isinstance(value, list)
                    self.assertEqual(len(value), count)
                else:
                    self.refuse(body, MSGPACK)

    def test_elements(self) -> None:
        """Elements count without being lists: eight thousand, and no more."""
        for each in (b"\xc0", b"\x05", b"\xa1x", b"\xcb" + bytes(8), b"\xcd\x01\x02"):
            for count, taken in ((8183, True), (8185, False)):
                body = b"\xdc" + count.to_bytes(2, "big") + each * count
                if taken:
                    self.assertEqual(self.read(body, MSGPACK), [self.one(each)] * count)
                else:
                    self.refuse(body, MSGPACK)

    def one(self, body: bytes) -> object:
        """Read one value."""
        value: object = msgpack.unpackb(body)
        return value

    def test_every_head(self) -> None:
        """Each kind of value is skipped by its own length, whatever is in it."""
        trap = b"\xdd\xff\xff\xff\xff" * 30
        value: dict[str, object] = {
            "short": "x" * 20,
            "str8": "x" * 200,
            "str16": "x" * 70_000,
            "bin": [trap[:size] for size in (0, 5, 100, 149)],
            "bin32": trap * 600,
            "numbers": [1, -1, -200, 200, 70_000, -70_000, 2**40, -(2**40), 1.5],
            "more": [True, False, None, 2**64 - 1],
            "ext": [msgpack.ExtType(5, trap[:size]) for size in (1, 2, 4, 8, 16, 30)],
            "ext16": msgpack.ExtType(5, trap * 3),
            "ext32": msgpack.ExtType(5, trap * 600),
            "map16": {str(at): at for at in range(30)},
        }
        body = self.registry.dumps(value, "msgpack").body
        self.assertEqual(self.read(body, MSGPACK), value)

    def test_cut_short(self) -> None:
        """What is cut short, or has more behind it, is left to its reader."""
        whole = msgpack.packb([b"x" * 300, {"a": msgpack.ExtType(1, b"x" * 300)}])
        for body in (*(whole[:size] for size in range(15)), whole + b"\xdd" * 50):
            error = self.assertRaises(DecodeError, self.read, body, MSGPACK, 600)
            self.assertNotIn("max_body_size", str(error))

    def test_large_strings(self) -> None:
        """One string is as large as it arrives."""
        body = msgpack.packb({"a": bytes(2 * MIB), "b": "x" * MIB})
        self.assertEqual(len(self.read(body, MSGPACK)), 2)  # type: ignore[arg-type]


class JSONSizeTests(SizeTestCase):
    """JSON's lists and dicts are larger than their two brackets."""

    def test_each_container(self) -> None:
        """A thousand lists or dicts are taken, some more are not."""
        for each in ("[]", "{}", "[1]", '{"k": 1}'):
            for count, taken in ((700, True), (1024, False)):
                body = f"[{','.join([each] * count)}]"
                if taken:
                    value = self.read(body, JSON)
                    assert isinstance(value, list)
                    self.assertEqual(len(value), count)
                else:
                    self.refuse(body, JSON)

    def test_elements(self) -> None:
        """Elements count without being lists: eight thousand, and no more."""
        for each in ("1", '"x"', "null"):
            body = f"[{','.join([each] * 8184)}]"
            self.assertEqual(len(self.read(body, JSON)), 8184)  # type: ignore[arg-type]
            self.refuse(f"[{','.join([each] * 8190)}]", JSON)

    def test_in_strings(self) -> None:
        """What stands in strings does not count, wherever they begin and end."""
        marks = "[{,:" * 30_000
        for text in (
            marks,
            f'"{marks}',
            f"\\{marks}\\",
            f'\\"{marks}\\\\"',
            "x" * (MIB - 2) + marks,
            "x" * (MIB - 3) + '"' + marks,
        ):
            body = self.registry.dumps([text, {text: 1}], "json").body
            self.assertEqual(self.read(body, JSON), [text, {text: 1}])

    def test_behind_strings(self) -> None:
        """What stands between strings counts, whatever is in those."""
        for string in ('""', '"\\""', '"\\\\"', '"\\\\\\""', '"x]"'):
            self.refuse(f"[{','.join([string, '[]'] * 1000)}]", JSON)
        self.refuse('["' + "x" * MIB + '"' + ",[]" * 1000 + "]", JSON)

    def test_other_functions(self) -> None:
        """The limit holds for whatever function reads the content type."""
        read: list[object] = []
        for name, encoding in (("fast", "utf-8"), ("faster", "binary")):
            self.registry.register(name, None, read.append, JSON, encoding)
            self.refuse(f"[{'[],' * 1024}1]", JSON)
        self.assertEqual(read, [])


class PythonJSONSizeTests(JSONSizeTests):
    """The same with Python's json."""

    fast = False


class YAMLSizeTests(SizeTestCase):
    """YAML's aliases are small, and what they stand for may be large."""

    def test_laughs(self) -> None:
        """What is walked into at each alias is refused, by the default limit too."""
        self.read(laughs(4), YAML, MAX_BODY_SIZE)
        for levels in (5, 9, 40):
            self.refuse(laughs(levels), YAML, MAX_BODY_SIZE)

    def test_one_long_text(self) -> None:
        """So is one long text that many aliases repeat."""
        self.refuse(
            f"[&a {'x' * 10_000}{', *a ' * 1000}]",
            YAML,
            MAX_BODY_SIZE,
        )

    def test_keys(self) -> None:
        """Aliases count in mappings, as keys and as values."""
        many = ", ".join(f"k{at}: *a " for at in range(1000))
        self.refuse(f"[&a [x], {{{many}}}]", YAML)
        deep = "- &a0 {k: v}\n" + "".join(
            f"- &a{level} {{k: *a{level - 1} , l: *a{level - 1} }}\n"
            for level in range(1, 20)
        )
        self.refuse(deep, YAML, MAX_BODY_SIZE)

    def test_circles(self) -> None:
        """Lists that are in each other are walked as a print does, and refused."""
        self.read(circles(3), YAML)
        for size in (12, 30):
            self.refuse(circles(size), YAML, MAX_BODY_SIZE)

    def test_fair_aliases(self) -> None:
        """Some aliases are taken, and so is what contains itself."""
        value = self.read("[&a {x: 1}" + ", *a " * 100 + "]", YAML)
        self.assertEqual(value, [{"x": 1}] * 101)
        itself = self.read("&a [1, *a ]", YAML)
        assert isinstance(itself, list)
        self.assertIs(itself[1], itself)

    def test_without_aliases(self) -> None:
        """A small limit holds for plain lists, too."""
        self.read("[" + "[], " * 900 + "]", YAML)
        self.refuse("[" + "[], " * 1100 + "]", YAML)

    def test_empty(self) -> None:
        """A document with nothing in it is nothing."""
        self.assertIsNone(self.read("# & *", YAML))

    def test_not_written(self) -> None:
        """What would be refused when read is not written."""
        value: list[object] = ["x"]
        for _ in range(9):
            value = [value] * 10
        error = self.assertRaises(EncodeError, self.registry.dumps, value, "yaml")
        self.assertIn("could not be read back", str(error))


class LimitTests(SizeTestCase):
    """How much is allowed."""

    def test_value_limit(self) -> None:
        """It is the argument; for much that arrived sixteen times that, bounded."""
        for arrived, allowed in (
            (0, 1000),
            (62, 1000),
            (63, 1008),
            (500, 8000),
            (10**6, 8000),
        ):
            self.assertEqual(value_limit(arrived, 1000), allowed)

    def test_plain(self) -> None:
        """A plain body of many small dicts is read by default."""
        decode: Callable[..., object] = self.registry.decode
        value = [{"x": at, "y": at} for at in range(100_000)]
        for name in ("json", "msgpack"):
            kind, encoding, body = self.registry.dumps(value, name)
            self.assertEqual(decode(body, kind, encoding), value)
            error = self.assertRaises(
                DecodeError, decode, body, kind, encoding, None, MAX_BODY_SIZE, 1000
            )
            self.assertIn("max_body_size", str(error))
            raised = 4 * MAX_BODY_SIZE
            self.assertEqual(decode(body, kind, encoding, None, raised, 1000), value)

    def test_most(self) -> None:
        """However much arrives, there is an end."""
        body = b"[" + b"[]," * MIB + b"1]"
        self.assertRaises(DecodeError, self.registry.decode, body, JSON, "utf-8")


class PythonLimitTests(LimitTests):
    """The same with Python's json."""

    fast = False
