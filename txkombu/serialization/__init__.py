"""Serializers: they turn values into bodies, and bodies into values."""

from __future__ import annotations

from .json_codec import register_type
from .serializers import (
    Encoded,
    Registry,
    accept_set,
    decode,
    dumps,
    encode,
    loads,
    register,
    register_json,
    registry,
    unregister,
)

__all__ = [
    "Encoded",
    "Registry",
    "accept_set",
    "decode",
    "dumps",
    "encode",
    "loads",
    "register",
    "register_json",
    "register_type",
    "registry",
    "unregister",
]
