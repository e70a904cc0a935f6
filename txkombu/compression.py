"""
Compression of bodies, named by the header C{compression}.

Names and content types are Kombu 5's.  Received bodies are decompressed up to a
limit: a small body that would become a huge one is refused before that fills memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NamedTuple

from ._util.limits import MAX_BODY_SIZE
from ._util.shown import shown
from ._util.suggestions import not_installed
from .exceptions import DecodeError, EncodeError, SerializerNotInstalled

__all__ = [
    "Compressors",
    "compress",
    "decompress",
    "encoders",
    "register_compression",
]

_RATIO: Final = 1000
"""A body may become this many times larger."""
_ANY_RATIO: Final = 1024 * 1024
"""Every body may become this many bytes, however small it is."""
_ANY_RATIO_SHARE: Final = 8
"""Every body may also become the limit divided by this, however small it is."""

_GZIP_MEMBERS: Final = 100
"""How many gzip streams in a row make one body; some tools write several."""

_LOOKED_AT: Final = 64 * 1024
"""How many bytes are decompressed to find out whether a body is compressed."""

_GZIP_MAGIC: Final = b"\x1f\x8b"

_ENCODING_SIZE: Final = 100
"""How many characters of a content encoding are read."""

_LZMA_MEMORY: Final = 128 * 1024 * 1024
"""Bytes that xz may use for its dictionary; its strongest preset uses 65 MiB."""

Compress = Callable[[bytes], bytes]
Decompress = Callable[[bytes, int], bytes]


class Undone(str):
    """
    The header C{compression} of a received message.

    If a program publishes the body of that message with its headers, the body is no
    longer compressed.  So this header is then left out.
    """

    __slots__ = ()


class _Method(NamedTuple):
    content_type: str
    aliases: Sequence[str]
    compress: Compress
    decompress: Decompress
    needs: str = ""


class Compressors:
    """
    Compression methods by name and by content type.

    The functions of this module are the methods of L{compressors}.
    """

    def __init__(self) -> None:
        self._methods: dict[str, _Method] = {}
        for method in _BUILT_IN:
            self._add(method)

    def _add(self, method: _Method) -> None:
        for name in (method.content_type, *method.aliases):
            self._methods[name] = method

    def register(
        self,
        encoder: Compress,
        decoder: Compress,
        content_type: str,
        aliases: Sequence[str] = (),
    ) -> None:
        """
        Add a compression method, or replace one.

        @param encoder: takes and returns bytes.
        @param decoder: the inverse; it may raise any error if a body is corrupt.  It
            is not told the limit, and so cannot stop there, as the built-in methods
            do; its result is measured afterwards.
        @param content_type: the value of the header C{compression}.
        @param aliases: further names of the method.
        """
        method = _Method(content_type, aliases, encoder, lambda body, _: decoder(body))
        self._add(method)

    def compress(self, body: bytes, name: str) -> tuple[bytes, str]:
        """
        Compress a body.

        @param body: the bytes to compress.
        @param name: a method's name or content type.
        @return: the compressed body, and the value for the header C{compression}.
        @raise SerializerNotInstalled: the method is unknown, or its library
            is missing.
        @raise EncodeError: the method failed.
        """
        method = self._named(name)
        try:
            compressed = method.compress(body)
        except SerializerNotInstalled:
            raise
        except Exception as error:
            raise EncodeError(f"{name!r} cannot compress a body: {error!r}") from error
        return compressed, method.content_type

    def decompress(self, body: bytes, header: str, limit: int = MAX_BODY_SIZE) -> bytes:
        """
        Decompress a body.

        @param body: the compressed bytes.
        @param header: the value of its header C{compression}.
        @param limit: the maximum size of the result, in bytes.  The result may also
            be no larger than the largest of these three: a thousand times the size of
            the body, 1 MiB, an eighth of the limit.
        @raise SerializerNotInstalled: the method is unknown, or its library
            is missing.
        @raise DecodeError: the body is corrupt, cut short, goes on after its end, or
            would become larger than the limit.
        """
        if not isinstance(header, str):
            raise DecodeError(
                f"header 'compression' must be a str, not {shown(header)}"
            )
        return _decompress(self._named(header).decompress, body, header, limit)

    def may_be_true(self, header: object, body: bytes) -> bool:
        """
        Tell whether a body to be published can be compressed as the header
        C{compression} says.

        @param header: the value of the header, perhaps from a received message.
        @param body: the bytes to publish.
        @return: C{True} also for a method that is not known or not installed here.
        """
        if not isinstance(header, str) or isinstance(header, Undone):
            return False
        method = self._methods.get(header)
        if method is None:
            return True
        try:
            method.decompress(body, _LOOKED_AT)
        except SerializerNotInstalled:
            return True
        except Exception:
            return False
        return True

    def encoders(self) -> list[str]:
        """
        Return the content types of the methods that can compress here: those that
        programs registered, and the built-in ones whose library is installed.
        """
        return [
            name
            for name, method in self._methods.items()
            if name == method.content_type and _is_installed(method.needs)
        ]

    def _named(self, name: str) -> _Method:
        if not isinstance(name, str):
            raise TypeError(f"a compression is named by a str, not {name!r}")
        method = self._methods.get(name)
        if method is None:
            raise not_installed("compression", name, self._methods)
        return method


def is_beyond_ratio(compressed: int, plain: int) -> bool:
    """
    Tell whether consumers with the default limit refuse a body because it would
    become too many times larger.

    @param compressed: bytes of the compressed body.
    @param plain: bytes that it becomes.
    """
    return plain > _maximum_by_ratio(compressed, MAX_BODY_SIZE)


def _maximum_by_ratio(size: int, limit: int) -> int:
    """Return how many bytes a body of this size may become, if the limit allows it."""
    return max(size * _RATIO, _ANY_RATIO, limit // _ANY_RATIO_SHARE)


def _too_large(size: int, maximum: int, limit: int) -> str:
    text = f"is larger than {maximum} bytes when decompressed"
    if maximum < limit:
        text = f"of {size} bytes {text}, more than a thousand times its size"
    return f"{text}: raise max_body_size ({limit}) to take it"


def _decompress(decompress: Decompress, body: bytes, label: str, limit: int) -> bytes:
    maximum = min(limit, _maximum_by_ratio(len(body), limit))
    try:
        plain = decompress(body, maximum)
        if len(plain) > maximum:
            raise _Bad(_too_large(len(body), maximum, limit))
    except SerializerNotInstalled:
        raise
    except _Bad as bad:
        raise DecodeError(f"a body compressed as {label!r} {bad}") from None
    except Exception as error:
        raise DecodeError(
            f"a body compressed as {label!r} is corrupt: {shown(error)}"
        ) from error.with_traceback(None)
    return plain


def undo_content_coding(
    body: bytes, encoding: str, limit: int
) -> tuple[bytes, str | None]:
    """
    Decompress a body whose content encoding says that it is compressed, as HTTP's does
    (RFC 9110, 8.4.1).

    @param encoding: such as C{"gzip"}, or C{"gzip:utf-8"} as Spring writes it.
    @param limit: as for C{decompress}; so are the errors.
    @return: the body, and what is left of the content encoding, C{None} if nothing is.
        If several compressions are named, or several other encodings, both are
        returned as they came.
    """
    parts = encoding[:_ENCODING_SIZE].replace(":", ",").split(",")
    names = [each.strip() for each in parts]
    codings = [each.lower() for each in names if each.lower() in _CODINGS]
    others = [each for each in names if each.lower() not in {*_CODINGS, "identity"}]
    if len(codings) > 1 or len(others) > 1 or names == others:
        return body, encoding
    for name in codings:
        body = _decompress(_CODINGS[name], body, name, limit)
    return body, others[0] if others else None


class _Bad(Exception):
    """A fault of a body; its text goes after the words "a body compressed as ..."."""


def _inflate(stream: Any, body: bytes, limit: int) -> bytes:
    """
    Decompress with one of the standard library's decompressor objects.

    It is asked for one byte more than the limit: otherwise it could stop before the end
    of a stream whose content is exactly as large as the limit.
    """
    plain: bytes = stream.decompress(body, limit + 1)
    _check_end(len(plain) > limit or stream.eof, stream.unused_data)
    return plain


def _check_end(ended: bool, rest: bytes) -> None:
    if not ended:
        raise _Bad("is cut short")
    if rest:
        raise _Bad(f"has {len(rest)} bytes after its end")


def _library(name: str, extra: str = "") -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        how = f"pip install txkombu[{extra}]" if extra else "this Python lacks it"
        raise SerializerNotInstalled(f"no module {name!r}: {how}") from error


def _is_installed(name: str) -> bool:
    """Return whether a library is there; C{""} stands for none."""
    try:
        return not name or bool(_library(name))
    except SerializerNotInstalled:
        return False


def _compressor(library: str, extra: str = "", **options: int) -> Compress:
    """Return a function that imports a library when called, and compresses with it."""
    return lambda body: bytes(_library(library, extra).compress(body, **options))


def _unzlib(body: bytes, limit: int) -> bytes:
    """Decompress a zlib stream (RFC 1950), or gzip streams in a row (RFC 1952)."""
    zlib = _library("zlib")
    if not body.startswith(_GZIP_MAGIC):
        return _inflate(zlib.decompressobj(), body, limit)
    parts: list[bytes] = []
    for _ in range(_GZIP_MEMBERS):
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        parts.append(stream.decompress(body, limit + 1))
        limit -= len(parts[-1])
        body = stream.unused_data
        if limit < 0 or not (stream.eof and body.startswith(_GZIP_MAGIC)):
            break
    _check_end(limit < 0 or stream.eof, body)
    return b"".join(parts)


def _undeflate(body: bytes, limit: int) -> bytes:
    """
    Decompress what HTTP calls deflate: a zlib stream (RFC 9110, 8.4.1.2).

    Many programs send only the data, without zlib's header and checksum; that is
    accepted, too.
    """
    zlib = _library("zlib")
    try:
        return _unzlib(body, limit)
    except zlib.error:
        return _inflate(zlib.decompressobj(-zlib.MAX_WBITS), body, limit)


def _unbz2(body: bytes, limit: int) -> bytes:
    return _inflate(_library("bz2").BZ2Decompressor(), body, limit)


def _unlzma(body: bytes, limit: int) -> bytes:
    stream = _library("lzma").LZMADecompressor(memlimit=_LZMA_MEMORY)
    return _inflate(stream, body, limit)


_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


def _unzstd(body: bytes, limit: int) -> bytes:
    # the sender chooses the size of the window; the library allows 128 MiB
    return _inflate(_library(_ZSTD, "zstd").ZstdDecompressor(), body, limit)


def _unbrotli(body: bytes, limit: int) -> bytes:
    stream = _library("brotli", "brotli").Decompressor()
    if not hasattr(stream, "can_accept_more_data"):
        raise SerializerNotInstalled(
            "a brotli older than 1.2 cannot be limited: pip install txkombu[brotli]"
        )
    # brotli stops soon after the limit, and raises if bytes follow the end
    plain: bytes = stream.process(body, output_buffer_limit=limit + 1)
    _check_end(len(plain) > limit or stream.is_finished(), b"")
    return plain


# brotli's own default quality, 11, would stop the reactor for a second per MiB
_brotli: Final = _compressor("brotli", "brotli", quality=5)

_BUILT_IN: Final = (
    # Kombu writes a zlib stream, though the content type says gzip
    _Method(
        "application/x-gzip", ("gzip", "zlib"), _compressor("zlib"), _unzlib, "zlib"
    ),
    _Method("application/x-bz2", ("bzip2", "bzip"), _compressor("bz2"), _unbz2, "bz2"),
    _Method("application/x-lzma", ("lzma", "xz"), _compressor("lzma"), _unlzma, "lzma"),
    _Method(
        "application/zstd",
        ("zstd", "zstandard"),
        _compressor(_ZSTD, "zstd"),
        _unzstd,
        _ZSTD,
    ),
    _Method("application/x-brotli", ("brotli",), _brotli, _unbrotli, "brotli"),
)

_CODINGS: Final[dict[str, Decompress]] = {
    "gzip": _unzlib,
    "x-gzip": _unzlib,
    "deflate": _undeflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
"""The content codings of HTTP, by name."""

compressors: Final = Compressors()
"""The compression methods of producers and consumers."""

compress = compressors.compress
may_be_true = compressors.may_be_true
decompress = compressors.decompress
encoders = compressors.encoders
register_compression = compressors.register
