"""
Compression of bodies, named by the header C{compression}.

Names and content types are Kombu 5's.  What comes from the wire is
decompressed piece by piece up to a limit: a small body that would become a
huge one is refused before it is in memory.
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

__all__ = ["Compressors", "compress", "decompress", "register_compression"]

_RATIO: Final = 1000
"""How many times larger a body may become, beyond what any may become."""
_ANY_RATIO: Final = 1024 * 1024
_ANY_RATIO_SHARE: Final = 8
"""A body of any ratio may become 1 MiB, or this part of the limit."""

_GZIP_MEMBERS: Final = 100
"""How many streams one after the other are read; some tools write several."""

_LOOKED_AT: Final = 64 * 1024
"""How many bytes are decompressed to see whether a body is compressed."""

_GZIP_BEGINS: Final = b"\x1f\x8b"

_ENCODING_MOST: Final = 100
"""How many characters of a content encoding are looked at."""

_LZMA_MEMORY: Final = 128 * 1024 * 1024
"""How many bytes of dictionary xz may ask for; its strongest preset asks for 65 MiB."""

Compress = Callable[[bytes], bytes]
Decompress = Callable[[bytes, int], bytes]


class Undone(str):
    """
    The header C{compression} of a message whose body was decompressed: it says
    nothing of that body, which may be published again with it.
    """

    __slots__ = ()


class _Method(NamedTuple):
    content_type: str
    compress: Compress
    decompress: Decompress


class Compressors:
    """
    Compression methods by name and by content type.

    The functions of this module are those of one that producers and consumers
    use.
    """

    def __init__(self) -> None:
        self._methods: dict[str, _Method] = {}
        for method, aliases in _BUILT_IN:
            self._add(method, aliases)

    def _add(self, method: _Method, aliases: Sequence[str]) -> None:
        for name in (method.content_type, *aliases):
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
        @param decoder: the inverse; raises what it likes if the body is
            corrupt.  Only the built-in methods are stopped at the limit; what
            this one returns is measured afterwards.
        @param content_type: what the header C{compression} says.
        @param aliases: further names for C{compress}.
        """

        def decompress(body: bytes, limit: int) -> bytes:
            return decoder(body)

        self._add(_Method(content_type, encoder, decompress), aliases)

    def compress(self, body: bytes, name: str) -> tuple[bytes, str]:
        """
        Compress a body.

        @param name: a method's name or content type.
        @return: the compressed body, and the value for the header.
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

        @param header: the value of its header C{compression}.
        @param limit: how many bytes it may become; a small body, at most a
            thousand times its size, but for 1 MiB or an eighth of the limit.
        @raise SerializerNotInstalled: the method is unknown, or its library
            is missing.
        @raise DecodeError: the body is corrupt, cut short, has something
            behind its end, or would become larger than the limit.
        """
        if not isinstance(header, str):
            raise DecodeError(f"the header 'compression' is no str: {shown(header)}")
        return _decompress(self._named(header), body, header, limit)

    def may_be_true(self, header: object, body: bytes) -> bool:
        """
        Whether a header C{compression} that somebody else wrote may be sent with
        a body: of a method that is not known here nobody can tell.
        """
        if not isinstance(header, str) or isinstance(header, Undone):
            return False
        method = self._methods.get(header)
        if method is None:
            return True
        try:
            method.decompress(body, _LOOKED_AT)
        except Exception:
            return False
        return True

    def _named(self, name: str) -> _Method:
        if not isinstance(name, str):
            raise TypeError(f"a compression is named by a str, not {name!r}")
        method = self._methods.get(name)
        if method is None:
            raise not_installed("compression", name, self._methods)
        return method


def is_beyond_ratio(compressed: int, plain: int) -> bool:
    """Whether consumers would refuse a body, by default, for becoming so large."""
    return plain > _most_of_ratio(compressed, MAX_BODY_SIZE)


def _most_of_ratio(size: int, limit: int) -> int:
    return max(size * _RATIO, _ANY_RATIO, limit // _ANY_RATIO_SHARE)


def _too_large(size: int, maximum: int, limit: int) -> str:
    text = f"is larger than {maximum} bytes when decompressed"
    if maximum < limit:
        text = f"of {size} bytes {text}, a thousand times its size and more"
    return f"{text}: raise max_body_size ({limit}) to take it"


def _decompress(method: _Method, body: bytes, label: str, limit: int) -> bytes:
    maximum = min(limit, _most_of_ratio(len(body), limit))
    try:
        plain = method.decompress(body, maximum)
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
    Decompress a body whose content encoding says that it is compressed, as HTTP's
    does (RFC 9110, 8.4.1).

    @param encoding: such as C{"gzip"}, or C{"gzip:utf-8"} as Spring writes it.
    @param limit: as that of L{decompress}, which also raises the same.
    @return: the body, and what else the content encoding says.
    """
    parts = encoding[:_ENCODING_MOST].replace(":", ",").split(",")
    names = [each.strip() for each in parts]
    codings = [each.lower() for each in names if each.lower() in _CODINGS]
    others = [each for each in names if each.lower() not in {*_CODINGS, "identity"}]
    if len(codings) > 1 or len(others) > 1 or names == others:
        return body, encoding
    for name in codings:
        body = _decompress(_CODINGS[name], body, name, limit)
    return body, others[0] if others else None


class _Bad(Exception):
    """What is wrong with a body, as the end of a sentence about it."""


def _inflate(stream: Any, body: bytes, limit: int) -> bytes:
    """
    Run one of the standard library's decompressor objects up to a limit.

    One byte more than the limit is asked for: only then does the end of a
    stream of exactly that many bytes get read.
    """
    plain: bytes = stream.decompress(body, limit + 1)
    _check_end(len(plain) > limit or stream.eof, stream.unused_data)
    return plain


def _check_end(ended: bool, rest: bytes) -> None:
    if not ended:
        raise _Bad("is cut short")
    if rest:
        raise _Bad(f"has {len(rest)} bytes behind its end")


def _library(name: str, extra: str = "") -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        how = f"pip install txkombu[{extra}]" if extra else "this Python lacks it"
        raise SerializerNotInstalled(f"no module {name!r}: {how}") from error


def _zlib_compress(body: bytes) -> bytes:
    return bytes(_library("zlib").compress(body))


def _zlib_decompress(body: bytes, limit: int) -> bytes:
    """Read a zlib stream (RFC 1950), or gzip's (RFC 1952), which may be several."""
    zlib = _library("zlib")
    if not body.startswith(_GZIP_BEGINS):
        return _inflate(zlib.decompressobj(), body, limit)
    parts: list[bytes] = []
    for _ in range(_GZIP_MEMBERS):
        stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
        parts.append(stream.decompress(body, limit + 1))
        limit -= len(parts[-1])
        body = stream.unused_data
        if limit < 0 or not (stream.eof and body.startswith(_GZIP_BEGINS)):
            break
    _check_end(limit < 0 or stream.eof, body)
    return b"".join(parts)


def _deflate_decompress(body: bytes, limit: int) -> bytes:
    """
    Read what HTTP calls deflate: a zlib stream (RFC 9110, 8.4.1.2), or what is in
    one, which many send instead.
    """
    zlib = _library("zlib")
    try:
        return _zlib_decompress(body, limit)
    except zlib.error:
        return _inflate(zlib.decompressobj(-zlib.MAX_WBITS), body, limit)


def _bz2_compress(body: bytes) -> bytes:
    return bytes(_library("bz2").compress(body))


def _bz2_decompress(body: bytes, limit: int) -> bytes:
    return _inflate(_library("bz2").BZ2Decompressor(), body, limit)


def _lzma_compress(body: bytes) -> bytes:
    return bytes(_library("lzma").compress(body))


def _lzma_decompress(body: bytes, limit: int) -> bytes:
    stream = _library("lzma").LZMADecompressor(memlimit=_LZMA_MEMORY)
    return _inflate(stream, body, limit)


def _zstd() -> ModuleType:
    standard = sys.version_info >= (3, 14)
    return _library("compression.zstd" if standard else "backports.zstd", "zstd")


def _zstd_compress(body: bytes) -> bytes:
    return bytes(_zstd().compress(body))


def _zstd_decompress(body: bytes, limit: int) -> bytes:
    # its window, which the sender chooses, is at most 128 MiB
    return _inflate(_zstd().ZstdDecompressor(), body, limit)


def _brotli_compress(body: bytes) -> bytes:
    # the library's default, 11, would stop the reactor for a second per MiB
    return bytes(_library("brotli", "brotli").compress(body, quality=5))


def _brotli_decompress(body: bytes, limit: int) -> bytes:
    stream = _library("brotli", "brotli").Decompressor()
    if not hasattr(stream, "can_accept_more_data"):
        raise SerializerNotInstalled(
            "a brotli older than 1.2 cannot be limited: pip install txkombu[brotli]"
        )
    # it stops soon after the limit, and refuses what is behind the end
    plain: bytes = stream.process(body, output_buffer_limit=limit + 1)
    _check_end(len(plain) > limit or stream.is_finished(), b"")
    return plain


_BUILT_IN: Final = (
    (
        # what is written is zlib's stream, whatever the content type says
        _Method("application/x-gzip", _zlib_compress, _zlib_decompress),
        ("gzip", "zlib"),
    ),
    (
        _Method("application/x-bz2", _bz2_compress, _bz2_decompress),
        ("bzip2", "bzip"),
    ),
    (
        _Method("application/x-lzma", _lzma_compress, _lzma_decompress),
        ("lzma", "xz"),
    ),
    (
        _Method("application/zstd", _zstd_compress, _zstd_decompress),
        ("zstd", "zstandard"),
    ),
    (
        _Method("application/x-brotli", _brotli_compress, _brotli_decompress),
        ("brotli",),
    ),
)

_GZIP: Final = _Method("gzip", _zlib_compress, _zlib_decompress)
_CODINGS: Final = {
    "gzip": _GZIP,
    "x-gzip": _GZIP,
    "deflate": _Method("deflate", _zlib_compress, _deflate_decompress),
    "br": _Method("br", _brotli_compress, _brotli_decompress),
    "zstd": _Method("zstd", _zstd_compress, _zstd_decompress),
}
"""By the names that HTTP has for them."""

compressors: Final = Compressors()
"""The compression methods that producers and consumers use."""

compress = compressors.compress
may_be_true = compressors.may_be_true
decompress = compressors.decompress
register_compression = compressors.register
