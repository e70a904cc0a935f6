"""C{txkombu publish}: publish a text, a file, or each line of one."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import IO, Any, ClassVar, Final

from twisted.internet.defer import Deferred
from twisted.python import usage

from .._util.suggestions import known_names
from .._util.waiters import Waiters
from ..exceptions import EncodeError
from ..interfaces import Capability
from ..messaging import Producer
from ..messaging.properties import SHORT_STRINGS
from .command import DONE, CommandFailed, can, counted
from .options import BrokerOptions, OptionTable, count_of, pair_of, value_of
from .progress import Progress
from .streams import Streams

_NUMBERS: Final = frozenset({"priority", "timestamp"})
_PROPERTIES: Final = sorted(SHORT_STRINGS | _NUMBERS | {"delivery_mode"})
_MOST_BYTES: Final = 128 * 1024 * 1024
"""No broker takes a larger message."""


class PublishOptions(BrokerOptions):
    """
    What to publish, and where.

    @ivar properties: arguments of C{Producer.publish}.
    @ivar headers: the headers.
    """

    synopsis = "[BODY] [options]"
    longdesc = "Without BODY and --file, standard input is the body."
    example = """publish -q jobs -s json '{"n": 1}'"""
    optParameters: ClassVar[OptionTable] = (
        ("queue", "q", None, "The queue, in place of --exchange and --routing-key."),
        ("exchange", "e", None, "The exchange to publish to."),
        ("routing-key", "k", None, "The routing key."),
        ("file", "f", None, "Publish this file; - is standard input."),
        ("serializer", "s", None, "Read the body as JSON, send it as json, yaml ..."),
        ("content-type", "t", None, "The MIME type of the body, sent as it is."),
    )
    optFlags: ClassVar[OptionTable] = (
        ("lines", "l", "Publish each line as a message of its own."),
    )

    def __init__(self) -> None:
        super().__init__()
        self.body: str | None = None
        self.headers: dict[str, object] = {}
        self.properties: dict[str, object] = {}

    def parseArgs(self, body: str | None = None) -> None:
        """Take the body."""
        self.body = body

    def opt_header(self, text: str) -> None:
        """A header NAME=VALUE; may be repeated."""
        name, value = pair_of("--header", text)
        self.headers[name] = value_of(value)

    opt_H = opt_header

    def opt_property(self, text: str) -> None:
        """A property such as priority=5; may be repeated."""
        name, value = pair_of("--property", text)
        if name not in _PROPERTIES:
            hint = known_names(name, _PROPERTIES)
            raise usage.UsageError(f"--property: there is no {name!r}; {hint}")
        self.properties[name] = value
        if name in _NUMBERS:
            self.properties[name] = count_of(f"--property {name}", value, 0)
        elif name == "delivery_mode":
            self.properties[name] = int(value) if value.isdecimal() else value
        elif name == "expiration":
            self.properties[name] = _seconds(value)

    opt_p = opt_property

    def postOptions(self) -> None:
        """Check that they agree."""
        super().postOptions()
        if self["queue"] is not None and (self["exchange"] or self["routing-key"]):
            raise usage.UsageError(
                "give --queue, or --exchange and --routing-key, not both"
            )
        if not (self["queue"] or self["exchange"] or self["routing-key"]):
            raise usage.UsageError("no --queue and no --exchange given")
        if self["serializer"] and self["content-type"]:
            raise usage.UsageError("give --serializer or --content-type, not both")
        if self.body is not None and (self["file"] or self["lines"]):
            raise usage.UsageError("give BODY, or --file or --lines, not both")


async def publish(options: PublishOptions, streams: Streams) -> int:
    """Publish, and tell how many messages the broker has confirmed."""
    if options.body is not None:
        bodies = _once(options.body.encode("utf-8", "surrogateescape"))
        return await _publish_all(options, streams, bodies, None)
    if options["file"] in (None, "-"):
        if streams.is_interactive and not options["lines"]:
            streams.tell("Reading the body until Ctrl-D ...")
        return await _publish_from(options, streams, streams.stdin)
    with open(options["file"], "rb", buffering=0) as source:
        return await _publish_from(options, streams, source)


async def _publish_from(
    options: PublishOptions, streams: Streams, source: IO[bytes]
) -> int:
    if options["lines"]:
        reader = _Reader(streams, source)
        return await _publish_all(options, streams, reader.lines(), reader)
    whole = bytearray()
    while data := await streams.read(source):
        whole += data
        _check_size(len(whole))
    return await _publish_all(options, streams, _once(bytes(whole)), None)


class _Reader:
    """
    Reads a file in parts.

    @ivar size: its size in bytes, if that is known.
    @ivar done: how many of them were read.
    """

    def __init__(self, streams: Streams, source: IO[bytes]) -> None:
        self._streams = streams
        self._source = source
        self.done = 0
        self.size: int | None = None
        with suppress(OSError, ValueError):
            self.size = os.fstat(source.fileno()).st_size or None

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the lines, without what ends them."""
        begun = bytearray()
        while data := await self._streams.read(self._source):
            self.done += len(data)
            end, *others = data.split(b"\n")
            begun += end
            _check_size(len(begun))
            for other in others:
                yield bytes(begun).removesuffix(b"\r")
                begun = bytearray(other)
        if begun:
            yield bytes(begun)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _check_size(size: int) -> None:
    if size > _MOST_BYTES:
        raise CommandFailed("the body is larger than 128 MiB, which no broker takes")


class _Tally:
    """
    Counts publishes and their verdicts.

    @ivar confirmed: how many the broker has confirmed.
    @ivar error: the first failure.
    """

    def __init__(self) -> None:
        self.confirmed = 0
        self.error: BaseException | None = None
        self._open = 0
        self._settled: Waiters[None] = Waiters()

    def count_publish(self, publishing: Deferred[None]) -> None:
        """Count one more publish."""
        self._open += 1
        publishing.addCallbacks(self._has, self._has_not)

    def _has(self, _: object) -> None:
        self.confirmed += 1
        self._over()

    def _has_not(self, failure: Any) -> None:
        if self.error is None:
            self.error = failure.value
        self._over()

    def _over(self) -> None:
        self._open -= 1
        if not self._open:
            self._settled.fire(None)

    async def when_settled(self) -> None:
        """Wait for the verdicts on all of them."""
        if self._open:
            await self._settled.wait()


async def _publish_all(
    options: PublishOptions,
    streams: Streams,
    bodies: AsyncIterator[bytes],
    reader: _Reader | None,
) -> int:
    size = None if reader is None else reader.size
    progress = Progress(streams, "messages published", size)
    producer = Producer(
        options.connection, options["exchange"] or "", auto_declare=False
    )
    publisher = producer.channel.core.publisher
    arguments = await _arguments(options)
    tally = _Tally()
    try:
        async for body in bodies:
            if tally.error is not None:
                break
            if not publisher.is_ready:
                await producer.when_ready()
            tally.count_publish(producer.publish(_value(options, body), **arguments))
            progress.show(tally.confirmed, None if reader is None else reader.done)
        await tally.when_settled()
    except Exception:
        await tally.when_settled()
        raise
    finally:
        progress.clear()
        streams.tell(f"published {counted(tally.confirmed)}, confirmed")
    if tally.error is not None:
        raise tally.error
    return DONE


async def _arguments(options: PublishOptions) -> dict[str, Any]:
    """Return the arguments of each publish."""
    return {
        "routing_key": options["queue"] or options["routing-key"] or "",
        "mandatory": await can(options.connection, Capability.MANDATORY),
        "serializer": options["serializer"],
        "content_type": options["content-type"],
        "headers": options.headers,
        **options.properties,
    }


def _value(options: PublishOptions, body: bytes) -> object:
    """Return what to publish for a body that was read."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        if options["serializer"]:
            raise EncodeError("the body is not UTF-8, as JSON has to be") from None
        return body
    if not options["serializer"]:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise EncodeError(f"the body is no JSON: {error}") from None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise usage.UsageError(
            "--property expiration: a number of seconds is needed"
        ) from None
