"""
The built-in serializers, as a table.

Their libraries, except json, are imported when first used.
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

    @ivar growth: how many times as large as its body a value may count as.
    @ivar check_size: called with the argument of the decoder, and the limit in bytes,
        if the value may be larger; raises ValueError if it would be.
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
        """Whether its encoder returns and its decoder takes bytes, not str."""
        return is_binary(self.content_encoding)


def _pickle_dumps(value: object) -> bytes:
    import pickle

    return pickle.dumps(value, protocol=4)


def _pickle_loads(body: bytes) -> object:
    import pickle

    value: object = pickle.loads(body)
    return value


BUILT_IN: Final[tuple[tuple[str, Encoder, Decoder, str, str], ...]] = (
    ("json", json_codec.dumps, json_codec.loads, "application/json", "utf-8"),
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
