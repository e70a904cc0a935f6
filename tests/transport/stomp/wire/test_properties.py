"""
The properties of messages as STOMP headers.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import DecodeError
from txkombu.transport.stomp.wire.parser import Frame
from txkombu.transport.stomp.wire.properties import (
    COMMON_FIELDS,
    FRAME_HEADERS,
    MOST_BYTES,
    TYPED,
    Field,
    Vocabulary,
    number,
    seconds_of,
    time_of,
)

NOW = 1_700_000_000.5
USUAL = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "delivery_mode": 2,
    "priority": 0,
    "headers": {},
}

FIELDS = {
    **COMMON_FIELDS,
    "priority": number("priority", "priority", 9),
    "timestamp": Field("timestamp", lambda value, _: str(seconds_of(value)), time_of),
    "expiration": Field("expires", lambda value, now: f"{value}@{now}"),
}


def frame(*pairs: tuple[str, str]) -> Frame:
    """A MESSAGE with these headers, in this order."""
    first = dict(reversed(pairs))
    return Frame("MESSAGE", {name: first[name] for name, _ in pairs}, b"", list(pairs))


def pairs_of(lines: bytes) -> list[tuple[str, str]]:
    """The headers that were written, unescaped."""
    found = []
    for line in lines.decode().splitlines():
        name, _, value = line.partition(":")
        found.append((_unescape(name), _unescape(value)))
    return found


def _unescape(text: str) -> str:
    for escaped, raw in (("\\c", ":"), ("\\n", "\n"), ("\\r", "\r"), ("\\\\", "\\")):
        text = text.replace(escaped, raw)
    return text


class Case(SynchronousTestCase):
    """Has a vocabulary."""

    def setUp(self) -> None:
        self.vocabulary = Vocabulary(FIELDS, {"mine"}, longest=10_000)

    def encode(self, properties: dict[str, object]) -> bytes:
        """What a SEND has."""
        return self.vocabulary.encode(properties, NOW)

    def back(self, properties: dict[str, object]) -> dict[str, object]:
        """What the receiver of a message has."""
        return self.vocabulary.decode(frame(*pairs_of(self.encode(properties))))

    def headers_back(self, headers: dict[str, object]) -> object:
        """What the receiver of headers has."""
        return self.back({"headers": headers})["headers"]


class WritingTests(Case):
    """What is sent."""

    def test_usual(self) -> None:
        """The properties nearly all messages have, one line each."""
        lines = (
            b"content-type:application/json\ncontent-encoding:utf-8\n"
            b"persistent:true\npriority:0\n"
        )
        self.assertEqual(self.encode(USUAL), lines)
        self.assertEqual(self.encode(USUAL), lines)
        more = self.encode({**USUAL, "headers": {"a": "1"}})
        self.assertEqual(more, lines + b"a:1\n")
        self.assertEqual(self.encode(USUAL), lines)

    def test_kept_are_told_apart(self) -> None:
        """One of the usual properties that differs is written as it is."""
        self.encode(USUAL)
        for name, value, expected in (
            ("priority", 3, b"priority:3\n"),
            ("content_type", "text/plain", b"content-type:text/plain\n"),
            ("content_encoding", "binary", b"content-encoding:binary\n"),
        ):
            self.assertIn(expected, self.encode({**USUAL, name: value}))
        transient = self.encode({**USUAL, "delivery_mode": 1})
        self.assertNotIn(b"persistent", transient)

    def test_many_usual(self) -> None:
        """However many kinds of usual messages there are, each is right."""
        for kind in range(1200):
            text = f"text/{kind}"
            lines = self.encode({**USUAL, "content_type": text})
            self.assertTrue(lines.startswith(f"content-type:{text}\n".encode()))

    def test_none_is_left_out(self) -> None:
        """A property that is None is as if it were not there."""
        self.assertEqual(self.encode({"content_type": None, "app_id": None}), b"")
        self.assertEqual(self.encode({"headers": None}), b"")
        without = {name: value for name, value in USUAL.items() if name != "headers"}
        self.assertEqual(
            self.encode({**without, "app_id": "a"}), self.encode(USUAL) + b"app-id:a\n"
        )

    def test_names(self) -> None:
        """Each property has its header."""
        lines = self.encode(
            {
                "correlation_id": "c",
                "message_id": "m",
                "type": "t",
                "app_id": "a",
                "cluster_id": "l",
            }
        )
        self.assertEqual(
            lines,
            b"correlation-id:c\namqp-message-id:m\ntype:t\napp-id:a\ncluster-id:l\n",
        )

    def test_now(self) -> None:
        """A property may depend on the time it is sent at."""
        self.assertEqual(
            pairs_of(self.encode({"expiration": "5"})), [("expires", f"5@{NOW}")]
        )

    def test_escaped(self) -> None:
        """What would end a line or a name does not."""
        lines = self.encode({"app_id": "a:b\nc\rd\\e", "headers": {"x:y\nz": "1"}})
        self.assertEqual(lines, b"app-id:a\\cb\\nc\\rd\\\\e\nx\\cy\\nz:1\n")

    def test_refused(self) -> None:
        """What cannot be written is refused, with its name."""
        for properties, kind, text in (
            ({"nonsense": 1}, TypeError, "no property nonsense"),
            ({"app_id": 1}, TypeError, "property app_id must be a str, not 1"),
            ({"app_id": "ü" * 128}, ValueError, "property app_id has 256 bytes"),
            ({"app_id": "a\0b"}, ValueError, "'app-id' has a zero byte"),
            ({"app_id": "\ud800"}, ValueError, "cannot be written as UTF-8"),
            ({"priority": 10}, ValueError, "property priority must be 0 to 9"),
            ({"priority": -1}, ValueError, "property priority must be 0 to 9"),
            ({"priority": "1"}, TypeError, "property priority must be an int"),
            ({"priority": True}, TypeError, "property priority must be an int"),
            ({"delivery_mode": 3}, ValueError, "delivery_mode"),
            ({"delivery_mode": 0}, ValueError, "delivery_mode must be 1 or 2"),
            ({"delivery_mode": "2"}, TypeError, "delivery_mode"),
            ({"timestamp": "now"}, TypeError, "timestamp"),
            ({"timestamp": -1}, ValueError, "timestamp"),
            ({"timestamp": 253_402_300_800}, ValueError, "timestamp"),
            ({"headers": "text"}, TypeError, "headers must be a mapping"),
            ({"headers": {1: "a"}}, TypeError, "name of a header must be a str"),
            ({"headers": {"": "a"}}, ValueError, "a header needs a name"),
            ({"headers": {"n" * 256: "a"}}, ValueError, "name of a header has 256"),
            ({"headers": {"a\0": 1.5}}, ValueError, "zero byte"),
            ({"headers": {"a": "\0"}}, ValueError, "'a' has a zero byte"),
            ({"headers": {"a": "\ud800"}}, ValueError, "'a' cannot be written"),
            ({"headers": {"x-txk-a": "1"}}, ValueError, "the library's own"),
            ({"headers": {"a": {1, 2}}}, TypeError, "'a' cannot be sent, it is a set"),
            ({"headers": {"a": "1", "b": object()}}, TypeError, "'b' cannot be sent"),
            ({"content_type": ["json"]}, TypeError, "property content_type"),
        ):
            error = self.assertRaises(kind, self.encode, properties)
            self.assertIn(text, str(error))

    def test_no_numbers(self) -> None:
        """
        What is no number is refused by its header's name, however deep it is; text that
        looks alike is not.
        """
        nan, inf = float("nan"), float("inf")
        for value in (nan, inf, -inf, [1.5, nan], {"deep": [{"er": -inf}]}, (inf,)):
            headers = {"fine": 1.5, "load": value}
            error = self.assertRaises(ValueError, self.encode, {"headers": headers})
            self.assertIn("the header 'load' cannot be sent", str(error))
            self.assertIn("is no number", str(error))
        for fine in (
            1.5,
            1.7976931348623157e308,
            5e-324,
            "NaN",
            ["Infinity"],
            {"NaN": 1},
        ):
            self.encode({"headers": {"load": fine}})

    def test_lookalike(self) -> None:
        """A header that would come back as something else is refused by its name."""
        headers = {"a": 1, "b": {"__type__": "date", "__value__": "x"}}
        error = self.assertRaises(ValueError, self.encode, {"headers": headers})
        self.assertIn("the header 'b' cannot be sent, it is a dict", str(error))

    def test_too_long(self) -> None:
        """There is a limit for one line, and one for all together."""
        fits = "x" * (10_000 - len("a:\n"))
        self.assertEqual(len(self.encode({"headers": {"a": fits}})), 10_000)
        headers: dict[str, object] = {"a": fits + "x"}
        error = self.assertRaises(ValueError, self.encode, {"headers": headers})
        self.assertIn("10001 bytes, at most 10000", str(error))
        headers = {f"{number:02}": fits[1:] for number in range(14)}
        error = self.assertRaises(ValueError, self.encode, {"headers": headers})
        self.assertIn(f"140000 bytes, at most {MOST_BYTES}", str(error))

    def test_refusals_are_not_kept(self) -> None:
        """What was refused once is refused again."""
        for _ in range(2):
            self.assertRaises(ValueError, self.encode, {**USUAL, "priority": 10})


class HeadersTests(Case):
    """What users put into headers."""

    def test_text(self) -> None:
        """Text is written as it is, and needs nothing else."""
        lines = self.encode({"headers": {"compression": "application/x-gzip"}})
        self.assertEqual(lines, b"compression:application/x-gzip\n")

    def test_types_come_back(self) -> None:
        """Whatever AMQP has for headers comes back as what it was."""
        headers: dict[str, object] = {
            "str": "3",
            "empty": "",
            "int": 3,
            "big": 2**80,
            "negative": -1,
            "yes": True,
            "none": None,
            "float": 1.5,
            "list": [1, "a", None, [True]],
            "dict": {"a": {"b": 1}},
            "time": datetime(2024, 2, 29, tzinfo=timezone.utc),
            "bytes": b"\xff\0",
            "decimal": Decimal("1.10"),
            "ünïcode:\n": "日本\r\\",
        }
        back = self.headers_back(headers)
        self.assertEqual(back, headers)
        assert isinstance(back, dict)
        self.assertEqual(
            {name: type(value) for name, value in back.items()},
            {name: type(value) for name, value in headers.items()},
        )

    def test_others_see_numbers(self) -> None:
        """Whole numbers are there for receivers that know nothing of us."""
        pairs = pairs_of(self.encode({"headers": {"retry": 3, "yes": True}}))
        self.assertEqual(pairs[0], ("retry", "3"))
        self.assertEqual([name for name, _ in pairs], ["retry", TYPED])

    def test_taken_names(self) -> None:
        """A header named as one of a frame or property means nothing to the broker."""
        headers: dict[str, object] = dict.fromkeys(
            (*FRAME_HEADERS, "type", "persistent", "mine"), "user's"
        )
        lines = self.encode({"type": "property", "headers": headers})
        self.assertEqual([name for name, _ in pairs_of(lines)], ["type", TYPED])
        self.assertEqual(self.headers_back(headers), headers)
        self.assertEqual(self.back({"type": "a", "headers": headers})["type"], "a")

    def test_changed_on_the_way(self) -> None:
        """A number that somebody has changed since is what it is now."""
        back = self.vocabulary.decode(
            frame(("retry", "4"), (TYPED, '{"retry": 3, "more": true}'))
        )
        self.assertEqual(back["headers"], {"retry": "4", "more": True})

    def test_no_json(self) -> None:
        """A header of ours that cannot be understood is an error of that message."""
        for text in ("", "{", "[]", "3", '{"a": {"__type__": "x", "__value__": 1}}'):
            error = self.assertRaises(
                DecodeError, self.vocabulary.decode, frame((TYPED, text))
            )
            self.assertIn(TYPED, str(error))


class ReadingTests(Case):
    """What comes."""

    def test_there_and_back(self) -> None:
        """What was sent comes back."""
        properties = {
            **USUAL,
            "correlation_id": "c",
            "message_id": "m",
            "type": "t",
            "app_id": "ä:b",
            "cluster_id": "l",
            "priority": 9,
            "timestamp": datetime(2024, 2, 29, 1, 2, 3, tzinfo=timezone.utc),
            "headers": {"a": "1", "b": 2},
        }
        self.assertEqual(self.back(properties), properties)

    def test_timestamps(self) -> None:
        """A timestamp is a moment, however it was given, of whole seconds."""
        moment = datetime(2024, 2, 29, 1, 2, 3, tzinfo=timezone.utc)
        east = timezone(timedelta(hours=2))
        for given in (
            moment,
            moment.replace(tzinfo=None),
            moment.astimezone(east),
            moment.replace(microsecond=999_999),
            int(moment.timestamp()),
        ):
            self.assertEqual(self.back({"timestamp": given})["timestamp"], moment)

    def test_persistent(self) -> None:
        """A message that is not persistent is transient, in whatever words."""
        for pairs, mode in (
            ([], 1),
            ([("persistent", "true")], 2),
            ([("persistent", "1")], 1),
        ):
            self.assertEqual(
                self.vocabulary.decode(frame(*pairs)),
                {"delivery_mode": mode, "headers": {}},
            )
        self.assertEqual(self.back({"delivery_mode": 1})["delivery_mode"], 1)

    def test_frames_own(self) -> None:
        """Headers of the frame, and ours, are no user's."""
        pairs = [(name, "x") for name in sorted(FRAME_HEADERS)]
        back = self.vocabulary.decode(frame(*pairs, ("x-txk-b", "1"), ("a", "1")))
        self.assertEqual(back["headers"], {"a": "1"})

    def test_last_property_counts(self) -> None:
        """A header of an AMQP message with a property's name comes before that."""
        back = self.vocabulary.decode(
            frame(
                ("content-type", "header"),
                ("priority", "high"),
                ("content-type", "property"),
                ("priority", "3"),
            )
        )
        self.assertEqual((back["content_type"], back["priority"]), ("property", 3))
        headers = {"content-type": "header", "priority": "high"}
        self.assertEqual(back["headers"], headers)

    def test_first_header_counts(self) -> None:
        """Of other headers the first counts, as STOMP has it."""
        back = self.vocabulary.decode(frame(("a", "1"), ("a", "2")))
        self.assertEqual(back["headers"], {"a": "1"})

    def test_not_utf8(self) -> None:
        """Bytes that are no UTF-8 in a value are told by the header's name."""
        bad = b"\xff".decode("utf-8", "surrogateescape")
        for pair, shown in (
            (("a", bad), "'a'"),
            ((f"b{bad}", bad), r"'b\\xff'"),
            (("app-id", bad), "'app-id'"),
            ((TYPED, bad), TYPED),
        ):
            error = self.assertRaises(
                DecodeError, self.vocabulary.decode, frame(("ü", "ä"), pair)
            )
            self.assertIn(shown, str(error))

    def test_name_that_is_no_text(self) -> None:
        """Those in a name are shown escaped, and hide no other header."""
        bad = b"\xff".decode("utf-8", "surrogateescape")
        back = self.vocabulary.decode(frame(("ü", "ä"), (f"b{bad}", "x"), ("c", "y")))
        self.assertEqual(back["headers"], {"ü": "ä", "b\\xff": "x", "c": "y"})

    def test_not_utf8_before_a_property(self) -> None:
        """So are those of a header that a property of its name comes behind."""
        bad = b"\xff".decode("utf-8", "surrogateescape")
        both = frame(("correlation-id", bad), ("correlation-id", "c"))
        error = self.assertRaises(DecodeError, self.vocabulary.decode, both)
        self.assertIn("'correlation-id'", str(error))

    def test_no_property(self) -> None:
        """What cannot be a property's value is a header that is called as it."""
        for name, text in (
            ("priority", "high"),
            ("priority", ""),
            ("timestamp", "2020-01-02T03:04:05"),
            ("timestamp", "9" * 30),
            ("timestamp", "9" * 15),
        ):
            self.assertEqual(
                self.vocabulary.decode(frame((name, text))),
                {"delivery_mode": 1, "headers": {name: text}},
            )
