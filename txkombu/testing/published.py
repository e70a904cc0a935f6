"""A published message, as a test sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..compression import decompress
from ..serialization.labels import base_type
from ..serialization.serializers import decode


class Published(NamedTuple):
    """
    One message as it was published.

    @ivar exchange: the name of the exchange; empty for the default exchange.
    @ivar routing_key: what the exchange routes it by.
    @ivar body: its bytes.
    @ivar properties: AMQP's properties by name, such as C{content_type}.
    """

    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, object]

    @property
    def headers(self) -> Mapping[str, object]:
        """The application's headers; empty if there are none."""
        headers = self.properties.get("headers")
        return headers if isinstance(headers, Mapping) else {}

    @property
    def payload(self) -> object:
        """
        The value that was published: the body, decompressed and decoded.

        @raise DecodeError: the body cannot be decoded.
        """
        method = self.headers.get("compression")
        body = decompress(self.body, str(method)) if method else self.body
        kind = self.properties.get("content_type")
        encoding = self.properties.get("content_encoding")
        accepted = None if kind is None else frozenset({base_type(str(kind))})
        return decode(body, kind, encoding, accepted)  # type: ignore[arg-type]  # text
