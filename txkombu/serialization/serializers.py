"""
The registry of serializers.

The content type of a body alone decides which decoder reads it, so a consumer needs no
setting to read the messages of any producer.  Names, content types and formats are
Kombu 5's.  A built-in serializer reads back what it wrote, unless its format makes that
needless.  Importing this module imports no serializer's library but those of json.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from json import JSONDecodeError
from typing import Final, NamedTuple

from .._util.limits import MAX_BODY_SIZE, value_limit
from .._util.shown import shown, shown_error
from .._util.suggestions import not_installed
from ..exceptions import (
    ContentDisallowed,
    DecodeError,
    EncodeError,
    SerializerNotInstalled,
)
from .codecs import (
    BUILT_IN,
    FAST_JSON,
    FAST_UTF8,
    JSON,
    NOT_CHECKED,
    OWN_ENCODERS,
    PICKLE_TYPE,
    SIZE_CHECKS,
    Codec,
    Decoder,
    Encoder,
)
from .diagnosis import path_to_unserializable
from .labels import base_type, charset_named, charset_of, is_binary

DEFAULT: Final = "json"
RAW: Final = "raw"
TEXT_TYPE: Final = "text/plain"
DATA_TYPE: Final = "application/data"

ALWAYS_ACCEPTED: Final = frozenset({TEXT_TYPE, DATA_TYPE})
"""Text and bytes, which need no decoder."""
NEVER_BY_DEFAULT: Final = frozenset({PICKLE_TYPE})
"""Content types that run code of the sender: accepted only if C{accept} names them."""

_BYTES: Final = (bytes, bytearray, memoryview)
# they take quadratic time, and do not encode any text
_NO_CHARSETS: Final = frozenset({"idna", "punycode"})
_BYTES_SHOWN: Final = 16


class Encoded(NamedTuple):
    """A body ready to be sent, and its labels."""

    content_type: str
    content_encoding: str
    body: bytes


_encoded: Final = tuple.__new__
"""Makes an L{Encoded} as its class does, but faster."""


class Registry:
    """
    Serializers by name and by content type.

    A new one has json, yaml, msgpack and pickle.  The functions of this module are the
    methods of L{registry}.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Codec] = {}
        self._by_type: dict[str, Codec] = {}
        for arguments in BUILT_IN:
            self.register(*arguments)

    def register(
        self,
        name: str,
        encoder: Encoder | None,
        decoder: Decoder | None,
        content_type: str,
        content_encoding: str = "utf-8",
    ) -> None:
        """
        Add a serializer, or replace the one of that name.

        If several have the same content type, the last one registered decodes it.

        @param name: the argument C{serializer} of publishing.
        @param encoder: takes a value, returns str or bytes; C{None} for a serializer
            that only decodes.
        @param decoder: takes bytes if C{content_encoding} is C{"binary"}, else str;
            returns the value.  C{None} leaves bodies of this type as they are.
        @param content_type: the content type of its bodies; compared without case and
            parameters.
        @param content_encoding: C{"binary"}, or the character set of the text.
        @raise TypeError: an argument is of the wrong type.
        @raise ValueError: the name is C{raw}, which is reserved, or the encoding is
            unknown.
        """
        _check(name, encoder, decoder, content_type, content_encoding)
        self._by_name.pop(name, None)
        self._by_name[name] = Codec(
            name,
            encoder,
            decoder,
            content_type,
            content_encoding,
            FAST_UTF8 if decoder is FAST_JSON[2] else None,
            *SIZE_CHECKS.get(base_type(content_type), NOT_CHECKED),
        )
        self._index()

    def register_json(self, fast: bool = True) -> None:
        """
        Register the built-in json again.

        @param fast: use orjson and msgspec if both are installed, as is the default;
            C{False} uses Python's json for everything.
        """
        self.register(*(FAST_JSON if fast else JSON))

    def unregister(self, name: str) -> None:
        """
        Remove a serializer.

        @param name: the name it was registered with.
        @raise SerializerNotInstalled: there is none of that name.
        """
        if name not in self._by_name:
            raise self._not_installed(name)
        del self._by_name[name]
        self._index()

    def _index(self) -> None:
        self._by_type = {
            base_type(codec.content_type): codec
            for codec in self._by_name.values()
            if codec.decoder is not None
        }

    def encode(
        self,
        body: object,
        serializer: str | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
    ) -> Encoded:
        """
        Turn a value into a body.

        @param body: the value; str or bytes if C{content_type} is given.
        @param serializer: the name of a serializer.  By default str and bytes are sent
            as they are, and everything else as json.
        @param content_type: the label of a body that is serialized already;
            C{serializer} is then not used.
        @param content_encoding: the encoding of such a body; by default C{"utf-8"} for
            str, C{"binary"} for bytes.
        @raise SerializerNotInstalled: there is no such serializer.
        @raise EncodeError: the serializer cannot hold this value, or could not read
            back what it wrote.
        """
        if content_type:
            return _as_labelled(body, content_type, content_encoding)
        if not serializer:
            if isinstance(body, str):
                return Encoded(TEXT_TYPE, "utf-8", _to_bytes(body, "utf-8"))
            if isinstance(body, _BYTES):
                return Encoded(DATA_TYPE, "binary", bytes(body))
            serializer = DEFAULT
        elif serializer == RAW:
            return _as_labelled(body, DATA_TYPE, None)
        codec = self._by_name.get(serializer)
        if codec is None or codec.encoder is None:
            raise self._not_installed(serializer)
        encoder = codec.encoder
        try:
            data = encoder(body)
            if isinstance(data, str):
                data = data.encode(codec.content_encoding)
        except SerializerNotInstalled:
            raise
        except Exception as error:
            raise _not_encodable(codec.name, encoder, body, error) from error
        if not isinstance(data, bytes):
            raise EncodeError(
                f"the encoder of the serializer {codec.name!r} returned "
                f"{type(data).__name__}, neither str nor bytes"
            )
        return _encoded(Encoded, (codec.content_type, codec.content_encoding, data))

    def dumps(self, data: object, serializer: str | None = None) -> Encoded:
        """
        Turn a value into C{(content_type, content_encoding, bytes)}.

        @param data: the value.
        @param serializer: as of L{encode}, which also raises the same.
        """
        return self.encode(data, serializer)

    def accept_set(self, accept: Iterable[str] | None) -> frozenset[str] | None:
        """
        Return the content types that a consumer accepts, for L{decode}.

        @param accept: names of serializers or content types; beside these only text
            and bytes are accepted.  C{None} accepts everything but pickle.
        @raise SerializerNotInstalled: a name is unknown.
        @raise TypeError: it is not a collection of str.
        """
        if accept is None:
            return None
        if isinstance(accept, str | bytes):
            raise TypeError(f"accept must be a list of names, not {accept!r}")
        return ALWAYS_ACCEPTED.union(map(self._type_named, accept))

    def _type_named(self, name: str) -> str:
        if not isinstance(name, str):
            raise TypeError(f"accept must hold names, not {name!r}")
        if "/" in name:
            return base_type(name)
        if name == RAW:
            return DATA_TYPE
        if name not in self._by_name:
            raise self._not_installed(name)
        return base_type(self._by_name[name].content_type)

    def decode(
        self,
        body: bytes,
        content_type: str | None,
        content_encoding: str | None,
        accepted: frozenset[str] | None = None,
        max_body_size: int = MAX_BODY_SIZE,
        arrived: int | None = None,
    ) -> object:
        """
        Turn a received body into the value that was published.

        A body of a content type without serializer becomes str; or bytes, if its
        encoding is C{binary}, or if it has none and is not UTF-8.

        @param body: the bytes, decompressed.
        @param content_type: C{None} is C{application/data}.
        @param content_encoding: C{None} is the C{charset} of the content type, or
            C{utf-8}.
        @param accepted: the result of L{accept_set}.
        @param max_body_size: how many bytes the lists, dicts and values in it may count
            as; more if many bytes arrived.
        @param arrived: the bytes that were received, if the body was compressed.
        @raise ContentDisallowed: the content type is not accepted.
        @raise DecodeError: the body does not fit its labels, or would become too large
            a value.
        """
        kind = content_type or DATA_TYPE
        encoding = content_encoding
        codec = self._by_type.get(kind)
        if codec is None:
            kind = base_type(kind) or DATA_TYPE
            codec = self._by_type.get(kind)
            encoding = encoding or charset_of(content_type or "")
        if kind in NEVER_BY_DEFAULT if accepted is None else kind not in accepted:
            raise self._disallowed(kind)
        try:
            if codec is None:
                return _text_or_bytes(body, kind, encoding)
            decoder = codec.decoder
            if encoding == codec.content_encoding == "utf-8":  # in nearly all messages
                data: str | bytes = body
                if codec.utf8_decoder is None:
                    data = body.decode("utf-8")
                else:
                    decoder = codec.utf8_decoder
            else:
                data = _decoder_input(codec, body, encoding or "utf-8")
            if len(data) * codec.growth > max_body_size:
                size = len(body) if arrived is None else arrived
                codec.check_size(data, value_limit(size, max_body_size))
            return decoder(data)  # type: ignore[misc]  # it has one
        except SerializerNotInstalled:
            raise
        except Exception as error:
            raise DecodeError(
                f"a body of {len(body)} bytes cannot be decoded as content type "
                f"{shown(content_type or DATA_TYPE)}, encoding "
                f"{shown(encoding or 'utf-8')}: {shown_error(error)}"
            ) from _without_body(error)

    def loads(
        self,
        body: bytes,
        content_type: str | None,
        content_encoding: str | None,
        accept: Iterable[str] | None = None,
        max_body_size: int = MAX_BODY_SIZE,
    ) -> object:
        """
        Turn a body into a value, as L{decode} does.

        @param body: the bytes, decompressed.
        @param content_type: C{None} is C{application/data}.
        @param content_encoding: C{None} is the C{charset} of the content type, or
            C{utf-8}.
        @param accept: as of L{accept_set}, which also raises the same.
        @param max_body_size: as of L{decode}, which also raises the same.
        @raise TypeError: the body is not bytes.
        """
        if not isinstance(body, bytes):
            raise TypeError(f"a body must be bytes, not {type(body).__name__}")
        accepted = self.accept_set(accept)
        return self.decode(
            body, content_type, content_encoding, accepted, max_body_size
        )

    def _not_installed(self, name: str) -> SerializerNotInstalled:
        if name in self._by_name:
            return SerializerNotInstalled(
                f"the serializer {name!r} has no encoder: it only decodes"
            )
        if not isinstance(name, str):
            raise TypeError(f"a serializer is named by a str, not {name!r}")
        return not_installed("serializer", name, [*self._by_name, RAW])

    def _disallowed(self, kind: str) -> ContentDisallowed:
        codec = self._by_type.get(kind)
        name = shown(kind if codec is None else codec.name)
        why = "runs code that the sender chose" if kind in NEVER_BY_DEFAULT else ""
        return ContentDisallowed(
            f"content type {shown(kind)} is not accepted{why and ': it ' + why}; "
            f"to accept it give the consumer accept=[{name}, …]"
        )


def _check(
    name: object, encoder: object, decoder: object, kind: object, encoding: object
) -> None:
    texts = {"name": name, "content_type": kind, "content_encoding": encoding}
    for what, value in texts.items():
        if not isinstance(value, str) or not value:
            raise TypeError(f"{what} must be a str that is not empty, not {value!r}")
    for what, function in {"encoder": encoder, "decoder": decoder}.items():
        if function is not None and not callable(function):
            raise TypeError(f"{what} must be callable or None, not {function!r}")
    if name == RAW:
        raise ValueError("the name 'raw' is reserved for bodies without serializer")
    assert isinstance(encoding, str)
    if not is_binary(encoding):
        _charset(encoding)


def _charset(encoding: str) -> None:
    """
    Check the character set of a serializer that the program registers.

    @raise ValueError: it is not known.
    """
    try:
        name = codecs.lookup(encoding).name
        "a".encode(name)  # fails for codecs from str to str, or bytes to bytes
    except LookupError as error:
        raise ValueError(f"the encoding {encoding!r} is unknown") from error
    if name in _NO_CHARSETS:
        raise ValueError(f"{encoding!r} does not encode text")


def _as_labelled(body: object, kind: str, encoding: str | None) -> Encoded:
    if isinstance(body, str):
        encoding = encoding or "utf-8"
        return Encoded(kind, encoding, _to_bytes(body, encoding))
    if isinstance(body, _BYTES):
        return Encoded(kind, encoding or "binary", bytes(body))
    raise EncodeError(
        f"a body of type {type(body).__name__} cannot be sent unserialized as "
        f"{kind!r}: pass str or bytes, or name a serializer and no content_type"
    )


def _to_bytes(text: str, encoding: str) -> bytes:
    try:
        return text.encode("utf-8" if encoding == "utf-8" else charset_named(encoding))
    except ValueError as error:
        raise EncodeError(
            f"a str cannot be encoded as {encoding!r}: {shown_error(error)}"
        ) from error


def _not_encodable(
    name: str, encoder: Encoder, body: object, error: Exception
) -> EncodeError:
    return EncodeError(
        f"the serializer {name!r} cannot encode this "
        f"{type(body).__name__}{_where(encoder, body)}: {shown_error(error)}"
    )


def _where(encoder: Encoder, body: object) -> str:
    """Return where the fault is; encoders of programs cannot be tried on parts."""
    is_ours = any(encoder is ours for ours in OWN_ENCODERS)
    path = path_to_unserializable(encoder, body) if is_ours else ""
    return f", at body{path}" if path else ""


def _decoder_input(codec: Codec, body: bytes, encoding: str) -> str | bytes:
    if codec.binary:
        return body
    if is_binary(encoding) or encoding == codec.content_encoding:
        return body.decode(codec.content_encoding)
    return body.decode(charset_named(encoding))


def _text_or_bytes(body: bytes, kind: str, encoding: str | None) -> object:
    """Return a body that has no decoder as it is, or as text."""
    if encoding is not None:
        return body if is_binary(encoding) else body.decode(charset_named(encoding))
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        if kind.startswith("text/"):
            raise
        return body


def _without_body(error: Exception) -> Exception:
    """Remove the body from an error, as a log may keep the error for long."""
    error.__traceback__ = None
    if isinstance(error, JSONDecodeError):
        vars(error).update(doc="")
    elif isinstance(error, UnicodeDecodeError):
        start, end = error.start, min(error.end, error.start + _BYTES_SHOWN)
        part = error.object[start:end]
        return UnicodeDecodeError(error.encoding, part, 0, len(part), error.reason)
    return error


registry: Final = Registry()
"""The serializers of producers and consumers."""

register = registry.register
register_json = registry.register_json
unregister = registry.unregister
dumps = registry.dumps
loads = registry.loads
encode = registry.encode
decode = registry.decode
accept_set = registry.accept_set
