"""
The built-in serializers, as a table.

Their libraries are imported when first used; those of json at once, if they are
installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from . import json_codec, msgpack_codec, yaml_codec
from .labels import is_binary

Encoder = Callable[..., "str | bytes"]
Decoder = Callable[..., object]
SizeCheck = Callable[[Any, int], None]
PICKLE_TYPE: Final = "application/x-python-serialize"


def _not_checked(data: object, max_body_size: int) -> None:
    """Accept any size, as the format is not known."""


NOT_CHECKED: Final[tuple[int, SizeCheck]] = 0, _not_checked
_ANY: Final = 1 << 62

SIZE_CHECKS: Final[dict[str, tuple[int, SizeCheck]]] = {
    "application/json": (32, json_codec.check_size),
    "application/x-yaml": (_ANY, yaml_codec.check_size),
    "application/x-msgpack": (_ANY, msgpack_codec.check_size),
}
"""C{growth} and C{check_size} of a L{Codec} by content type, whoever decodes it."""


class Codec(NamedTuple):
    """
    One serializer; its encoder or its decoder may be missing.

    @ivar utf8_decoder: does the same with the bytes of UTF-8, if there is one.
    @ivar growth: how many times as large as its body a value may count as.
    @ivar check_size: called with the argument of the decoder, and the limit in bytes,
        if the value may be larger; raises ValueError if it would be.
    """

    name: str
    encoder: Encoder | None
    decoder: Decoder | None
    content_type: str
    content_encoding: str
    utf8_decoder: Decoder | None
    growth: int
    check_size: SizeCheck

    @property
    def binary(self) -> bool:
        """Whether its encoder returns and its decoder takes bytes, not str."""
        return is_binary(self.content_encoding)


def _pickle_dumps(value: object) -> bytes:
    import pickle

    return pickle.dumps(value, protocol=4)


def _pickle_loads(body: bytes) -> object:
    import pickle

    value: object = pickle.loads(body)
    return value


JSON: Final = "json", json_codec.dumps, json_codec.loads, "application/json", "utf-8"
"""The arguments that json is registered with, if Python's is to be used."""

FAST_JSON: tuple[str, Encoder, Decoder, str, str]
"""The same with orjson and msgspec, if they are installed and can be used."""
FAST_UTF8: Decoder | None
"""Its decoder for the bytes of UTF-8."""
JSON_LIBRARIES: str
"""What reads and writes JSON, with versions."""
try:
    from . import fast_json
except ModuleNotFoundError:
    FAST_JSON, FAST_UTF8, JSON_LIBRARIES = JSON, None, "Python's json"
except ImportError as error:  # they are there, but cannot be used
    FAST_JSON, FAST_UTF8, JSON_LIBRARIES = JSON, None, f"Python's json, as {error}"
else:
    FAST_JSON = "json", fast_json.dumps, fast_json.loads, *JSON[3:]
    FAST_UTF8 = fast_json.loads_utf8
    JSON_LIBRARIES = fast_json.LIBRARIES

BUILT_IN: Final[tuple[tuple[str, Encoder, Decoder, str, str], ...]] = (
    FAST_JSON,
    ("yaml", yaml_codec.dumps, yaml_codec.loads, "application/x-yaml", "utf-8"),
    (
        "msgpack",
        msgpack_codec.dumps,
        msgpack_codec.loads,
        "application/x-msgpack",
        "binary",
    ),
    ("pickle", _pickle_dumps, _pickle_loads, PICKLE_TYPE, "binary"),
)
"""The arguments that each is registered with."""

OWN_ENCODERS: Final = tuple(encoder for _, encoder, *_ in (*BUILT_IN, JSON))
"""Encoders that may be called any number of times."""
