"""
The serializers that are there from the start, as a table.

The libraries of all but json are imported when first used.
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
    """Nothing is known of the format."""


NOT_CHECKED: Final[tuple[int, SizeCheck]] = 0, _not_checked
_ANY: Final = 1 << 62

SIZE_CHECKS: Final[dict[str, tuple[int, SizeCheck]]] = {
    "application/json": (32, json_codec.check_size),
    "application/x-yaml": (_ANY, yaml_codec.check_size),
    "application/x-msgpack": (_ANY, msgpack_codec.check_size),
}
"""By content type, as they hold for whatever function decodes it."""


class Codec(NamedTuple):
    """
    One serializer; either of its two functions may be missing.

    @ivar growth: how many times larger than what it is decoded from a value may
        count as.
    @ivar check_size: called with what the decoder takes, and the limit, if the
        value may be larger; raises ValueError if it will be.
    """

    name: str
    encoder: Encoder | None
    decoder: Decoder | None
    content_type: str
    content_encoding: str
    growth: int
    check_size: SizeCheck

    @property
    def binary(self) -> bool:
        """Whether its functions deal in bytes, not in str."""
        return is_binary(self.content_encoding)


def _pickle_dumps(value: object) -> bytes:
    import pickle

    return pickle.dumps(value, protocol=4)


def _pickle_loads(body: bytes) -> object:
    import pickle

    value: object = pickle.loads(body)
    return value


def _built_in(
    name: str, encoder: Encoder, decoder: Decoder, content_type: str, encoding: str
) -> Codec:
    size = SIZE_CHECKS.get(content_type, NOT_CHECKED)
    return Codec(name, encoder, decoder, content_type, encoding, *size)


BUILT_IN: Final = (
    _built_in("json", json_codec.dumps, json_codec.loads, "application/json", "utf-8"),
    _built_in(
        "yaml", yaml_codec.dumps, yaml_codec.loads, "application/x-yaml", "utf-8"
    ),
    _built_in(
        "msgpack",
        msgpack_codec.dumps,
        msgpack_codec.loads,
        "application/x-msgpack",
        "binary",
    ),
    _built_in("pickle", _pickle_dumps, _pickle_loads, PICKLE_TYPE, "binary"),
)
