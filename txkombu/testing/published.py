"""
What a test sees of a message that was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..compression import decompress
from ..serialization.labels import base_type
from ..serialization.serializers import decode


class Published(NamedTuple):
    """One message as it was published."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, object]

    @property
    def headers(self) -> Mapping[str, object]:
        """The application's headers."""
        headers = self.properties.get("headers")
        return headers if isinstance(headers, Mapping) else {}

    @property
    def payload(self) -> object:
        """
        What the body stands for.

        @raise DecodeError: it cannot be decoded.
        """
        method = self.headers.get("compression")
        body = decompress(self.body, str(method)) if method else self.body
        kind = self.properties.get("content_type")
        encoding = self.properties.get("content_encoding")
        accepted = None if kind is None else frozenset({base_type(str(kind))})
        return decode(body, kind, encoding, accepted)  # type: ignore[arg-type]  # text
