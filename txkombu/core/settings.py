"""
What a connection was told: brokers, credentials, timeouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from .._util import backoff
from .._util.backoff import ReconnectPolicy
from .._util.validation import check_seconds
from ..interfaces import IBrokerTransport
from ..transport.registry import transport_for
from ..url.parameters import Parameters

_EXCHANGE_TYPES = frozenset({"direct", "fanout", "topic", "headers"})


class Settings:
    """
    The part of L{txkombu.BrokerConnection} that says what it was made with.

    @ivar operation_timeout: seconds for one operation.
    @ivar reconnect: how long to wait between attempts.
    """

    def __init__(
        self,
        alternates: Sequence[Parameters],
        transport: IBrokerTransport | None,
        endpoint: IStreamClientEndpoint | None,
        reactor: IReactorTime | None,
        operation_timeout: float,
        reconnect: ReconnectPolicy | None,
    ) -> None:
        self._alternates = list(alternates)
        self._given_transport = transport
        self._endpoint = endpoint
        self._reactor = reactor
        self.operation_timeout = check_seconds("operation_timeout", operation_timeout)
        self.reconnect = backoff.DEFAULT if reconnect is None else reconnect
        if not isinstance(self.reconnect, ReconnectPolicy):
            raise TypeError(
                "reconnect must be a txkombu.policy.ReconnectPolicy, "
                f"not {type(reconnect).__name__}"
            )

    @property
    def clock(self) -> IReactorTime:
        """The reactor, looked up on first use if none was given."""
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = IReactorTime(reactor)
        return self._reactor

    def _transport_of(self, parameters: Parameters) -> IBrokerTransport:
        return self._given_transport or transport_for(parameters.transport)

    def _set_password(self, password: str) -> None:
        """Log in with another one from now on, at each of the alternates."""
        self._alternates[:] = [
            attrs.evolve(each, password=password) for each in self._alternates
        ]

    @property
    def transport_name(self) -> str:
        """The URL scheme."""
        return self._alternates[0].transport

    def info(self) -> Mapping[str, object]:
        """The settings by name; the password is not among them."""
        first = self._alternates[0]
        return {
            "transport": first.transport,
            "hostname": first.hostname,
            "port": first.port,
            "userid": first.userid,
            "virtual_host": first.virtual_host,
            "heartbeat": first.heartbeat,
            "connect_timeout": first.connect_timeout,
            "operation_timeout": self.operation_timeout,
            "alternates": [each.as_uri() for each in self._alternates],
        }

    def as_uri(self, include_password: bool = False) -> str:
        """The URL of the first alternate, C{**} for its password."""
        return self._alternates[0].as_uri(include_password)

    def supports_exchange_type(self, type: str) -> bool:
        """
        Whether exchanges of this type are worth asking for.  A broker's own
        types are: it says so itself if it does not have one.
        """
        if self.transport_name.startswith("stomp"):
            return type in _EXCHANGE_TYPES - {"headers"}
        return bool(type)
