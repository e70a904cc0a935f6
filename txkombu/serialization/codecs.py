"""
The serializers that are there from the start, as a table.

The libraries of all but json are imported when first used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from . import json_codec as jsoncodec
from . import yaml_codec as yamlcodec

Encoder = Callable[..., "str | bytes"]
Decoder = Callable[..., object]

PICKLE_TYPE: Final = "application/x-python-serialize"


class Codec(NamedTuple):
    """One serializer; either of its two functions may be missing."""

    name: str
    encoder: Encoder | None
    decoder: Decoder | None
    content_type: str
    content_encoding: str

    @property
    def binary(self) -> bool:
        """Whether its functions deal in bytes, not in str."""
        return is_binary(self.content_encoding)


def is_binary(content_encoding: str) -> bool:
    """Whether a content encoding stands for bytes that are no text."""
    return content_encoding.lower() in {"binary", "ascii-8bit"}


def _msgpack_dumps(value: object) -> bytes:
    from msgpack import packb

    return bytes(packb(value, use_bin_type=True))


def _msgpack_loads(body: bytes) -> object:
    # unpackb allows nothing in a body to be longer than the body itself
    from msgpack import unpackb

    value: object = unpackb(body, raw=False, strict_map_key=True)
    return value


def _pickle_dumps(value: object) -> bytes:
    import pickle

    return pickle.dumps(value, protocol=4)


def _pickle_loads(body: bytes) -> object:
    import pickle

    value: object = pickle.loads(body)
    return value


BUILT_IN: Final = (
    Codec("json", jsoncodec.dumps, jsoncodec.loads, "application/json", "utf-8"),
    Codec("yaml", yamlcodec.dumps, yamlcodec.loads, "application/x-yaml", "utf-8"),
    Codec("msgpack", _msgpack_dumps, _msgpack_loads, "application/x-msgpack", "binary"),
    Codec("pickle", _pickle_dumps, _pickle_loads, PICKLE_TYPE, "binary"),
)
