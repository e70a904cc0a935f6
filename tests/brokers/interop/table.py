"""
What a message still is at the other end, between AMQP and STOMP on RabbitMQ.

The tests publish each sample of it; C{python -m tests.brokers.interop.table} writes
it into the docs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum

import attrs

from tests.support.paths import DOCS

PAGE = DOCS / "explained" / "stomp.rst"
_BEGIN, _END = ".. begin interop\n", ".. end interop\n"

_TIME = datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


class Fate(Enum):
    """What becomes of something; the text is for the docs."""

    SAME = "yes"
    TEXT = "as text"
    LOST = "no"
    UNREADABLE = "not readable [#unreadable]_"
    UNSET = "not set [#unset]_"
    HEADER = "as a header [#header]_"


SAME, TEXT, LOST = Fate.SAME, Fate.TEXT, Fate.LOST


@attrs.frozen
class Row:
    """
    Something that messages carry, and what becomes of it.

    @ivar title: what the docs call it.
    @ivar samples: what is published; of a body (body, options).
    @ivar to_stomp: what a stomp consumer has of what came by amqp.
    @ivar to_amqp: the same, the other way.
    @ivar by_stomp: the same, with both on stomp.
    """

    title: str
    samples: tuple[object, ...]
    to_stomp: Fate = SAME
    to_amqp: Fate = SAME
    by_stomp: Fate = SAME


_VALUE = {"id": 1, "tags": ["a", "é"], "ratio": 1.5, "none": None}
_LONG = {"text": "é" * 5000}


def _serialized(name: str, value: object = _VALUE) -> Row:
    return Row(f"a body serialized by {name}", ((value, {"serializer": name}),))


BODIES = (
    _serialized("json"),
    _serialized("yaml"),
    _serialized("msgpack", {**_VALUE, "raw": b"\xff\0"}),
    _serialized("pickle", {**_VALUE, "when": _TIME, "pair": (1, 2)}),
    Row("bytes, with any in it", ((bytes(range(256)), {}), (b"\0", {}))),
    Row("text, with any in it", (("é\0\r\n:\\\x85", {}),)),
    Row("an empty body", ((b"", {}), ("", {}))),
    Row("a body of 1 MiB", ((b"0123456789abcde\0" * 65536, {}),)),
    Row(
        "compressed bodies",
        ((_LONG, {"compression": "zlib"}), (_LONG, {"compression": "bzip2"})),
    ),
)

PROPERTIES: Mapping[str, Row] = {
    name: Row(f"``{name}``", samples)
    for name, samples in {
        "correlation_id": ("c", "é:\n\\", "c" * 255),
        "reply_to": ("replies", "é:."),
        "message_id": ("m", "é" * 127),
        "type": ("t", "é:\n"),
        "app_id": ("a", "é:\n"),
        "user_id": ("guest",),
        "timestamp": (_TIME, datetime(1970, 1, 1, tzinfo=timezone.utc)),
        "expiration": ("60500",),
        "priority": (0, 3, 255),
    }.items()
} | {
    "delivery_mode": Row("``delivery_mode`` 2", (2,)),
    "transient": Row("``delivery_mode`` 1", (1,), to_amqp=Fate.UNSET),
    "cluster_id": Row("``cluster_id``", ("c",), LOST, Fate.HEADER),
}

HEADERS = (
    Row("text", ("é:\r\n\\", "", "a" * 9000, "true", "1")),
    Row("whole numbers", (0, -1, 2**31, 2**63 - 1), TEXT, TEXT),
    Row("``True``, ``False``", (True, False), LOST, LOST),
    Row("``None``", (None,), LOST, LOST),
    Row("``float``", (1.5, -0.25), LOST, LOST),
    Row("lists", ([], [1, "é", None]), LOST, LOST),
    Row("dicts", ({}, {"a": {"b": 1}}), LOST, LOST),
    Row("``datetime``", (_TIME,), LOST, LOST),
    Row("``Decimal``", (Decimal("1.10"),), LOST, LOST),
    Row("bytes that are UTF-8", (b"abc", "é".encode()), TEXT, LOST),
    Row("bytes that are not", (b"\xff\0", b"\xc3"), Fate.UNREADABLE, LOST),
)

SEEN_BY_AMQP = frozenset({"content-length", "receipt", "x-txk-headers"})
"""The headers that consumers by AMQP see beside those that were published."""


_HEADINGS = ("", "amqp to stomp", "stomp to amqp", "stomp to stomp")
_FOOTNOTES = """\
.. [#unreadable] Reading ``message.payload`` or ``message.headers`` raises
   ``DecodeError``. So ``on_decode_error`` of a consumer is told, or its ``on_failure``,
   and the messages behind it are handled.

.. [#unset] For AMQP that is the same: transient.

.. [#header] Called ``cluster-id``.
"""


def table() -> str:
    """What belongs between the two comments of the page, as reStructuredText."""
    lines = [list(_HEADINGS)]
    for heading, rows in (
        ("**content**", BODIES),
        ("**properties**", tuple(PROPERTIES.values())),
        ("**headers**", HEADERS),
    ):
        lines.append([heading, "", "", ""])
        lines += [list(_cells(row)) for row in rows]
    return f"\n{_aligned(lines)}\n\n{_FOOTNOTES}\n"


def _cells(row: Row) -> Iterator[str]:
    yield row.title
    for fate in (row.to_stomp, row.to_amqp, row.by_stomp):
        yield fate.value


def _aligned(lines: list[list[str]]) -> str:
    # An empty first cell would continue the line before; see the docs on tables.
    lines = [[first or "\\", *rest] for first, *rest in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    head, *rest = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join([rule, head, rule, *rest, rule])


def written() -> str:
    """What the page has there now."""
    return _parts()[1]


def write() -> None:
    """Put the table in its place."""
    before, _, after = _parts()
    text = f"{before}{_BEGIN}{table()}{_END}{after}"
    PAGE.write_text(text, encoding="utf-8")


def _parts() -> tuple[str, str, str]:
    """The page before the table's place, in it, and behind it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    inside, _, after = rest.partition(_END)
    return before, inside, after


if __name__ == "__main__":
    write()
