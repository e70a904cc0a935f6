"""Transports: one for each URL scheme; see L{txkombu.url.schemes}."""

from __future__ import annotations

from ..url.schemes import ENTRY_POINT_GROUP, Scheme, known_schemes, scheme_named
from .registry import transport_for

__all__ = [
    "ENTRY_POINT_GROUP",
    "Scheme",
    "known_schemes",
    "scheme_named",
    "transport_for",
]
