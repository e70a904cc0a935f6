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
PICKLE_TYPE: Final = "application/x-python-serialize"


class Size(NamedTuple):
    """How large the values of one format become."""

    growth: int
    """How many times larger than what it is decoded from a value may count as."""
    check: Callable[[Any, int], None]
    """Called with what a decoder takes, and the limit; raises ValueError."""


def _unchecked(data: object, max_body_size: int) -> None:
    """Nothing is known of the format."""


NOT_CHECKED: Final = Size(0, _unchecked)
_ANY: Final = 1 << 62

SIZE_CHECKS: Final = {
    "application/json": Size(32, json_codec.check_size),
    "application/x-yaml": Size(_ANY, yaml_codec.check_size),
    "application/x-msgpack": Size(_ANY, msgpack_codec.check_size),
}
"""By content type, as they hold for whatever function decodes it."""


class Codec(NamedTuple):
    """
    One serializer; either of its two functions may be missing.

    @ivar size: what its bodies may become.
    """

    name: str
    encoder: Encoder | None
    decoder: Decoder | None
    content_type: str
    content_encoding: str
    size: Size = NOT_CHECKED

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


BUILT_IN: Final = (
    Codec("json", json_codec.dumps, json_codec.loads, "application/json", "utf-8"),
    Codec("yaml", yaml_codec.dumps, yaml_codec.loads, "application/x-yaml", "utf-8"),
    Codec(
        "msgpack",
        msgpack_codec.dumps,
        msgpack_codec.loads,
        "application/x-msgpack",
        "binary",
    ),
    Codec("pickle", _pickle_dumps, _pickle_loads, PICKLE_TYPE, "binary"),
)
