"""
Opens sockets to one broker.

A host's name may stand for several brokers, and lead to another one each time it is
looked up.  What is published by one socket would then never come by another; so all
go to the address that the first one came to.  Behind a load balancer an address
stands for several brokers, too; as far as brokers say who they are, a socket that
came to another one is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from ...exceptions import AuthenticationFailed, ConnectError
from ..connect import check_credentials, connect
from ..endpoints import place_of
from .protocol import IProtocolOwner, StompProtocol

if TYPE_CHECKING:
    from ...url.parameters import Parameters


class Connector:
    """
    Opens the sockets of one session, all to the same broker.

    @ivar parameters: the broker, and how to log in.
    @ivar place: what is connected to, for people.
    @ivar clock: the reactor; under test a C{Clock}.
    """

    def __init__(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
    ) -> None:
        """
        @param endpoint: where to connect instead of the host and port of
            C{parameters}, each time.
        """
        self.parameters = parameters
        self.place = place_of(parameters, endpoint)
        self.clock = clock
        self._endpoint = endpoint
        self._first: StompProtocol | None = None

    def open(self, owner: IProtocolOwner) -> Deferred[StompProtocol]:
        """
        Connect one more socket, and log in.

        @return: as that of L{IBrokerTransport.connect}, with the socket.
        """
        try:
            self._check()
        except ConnectError as error:
            return fail(error)
        socket = StompProtocol(self.parameters, self.place, self.clock, owner)
        opening = connect(socket, self.parameters, self._endpoint, self.clock)
        return opening.addCallback(self._opened)

    def _opened(self, socket: StompProtocol) -> StompProtocol:
        first = self._first
        if first is None:
            self._first = socket
            peer = socket.transport.getPeer()
            if self._endpoint is None and isinstance(peer, IPv4Address | IPv6Address):
                self._endpoint = _PeerEndpoint(self.parameters, peer, self.clock)
        elif (socket.server, socket.process) != (first.server, first.process):
            socket.abort()
            raise ConnectError(
                f"{self.place} leads to another broker, {_shown(socket)}, than that of "
                f"this session, {_shown(first)}: give it a name or an address that "
                "leads to one broker; several can be given, with ';' between"
            )
        return socket

    def _check(self) -> None:
        check_credentials(self.parameters)
        if self.parameters.auth_mechanism == "EXTERNAL":
            raise AuthenticationFailed(
                "STOMP logs in by user and password, not by EXTERNAL"
            )


@implementer(IStreamClientEndpoint)
class _PeerEndpoint:
    """
    One address, which is not looked up.  TLS comes on top, as with an endpoint that a
    user gives: the certificate there is to be for the host's name all the same.
    """

    def __init__(
        self, parameters: Parameters, peer: IPv4Address | IPv6Address, clock: Any
    ) -> None:
        """
        @param clock: a reactor that connects by TCP.
        """
        self._parameters = parameters
        self._peer = peer
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        kind: Any = TCP4ClientEndpoint
        if isinstance(self._peer, IPv6Address):
            kind = TCP6ClientEndpoint
        timeout = self._parameters.connect_timeout
        endpoint = kind(self._clock, self._peer.host, self._peer.port, timeout)
        connecting: Deferred[IProtocol] = endpoint.connect(protocolFactory)
        return connecting

    def __repr__(self) -> str:
        return f"{place_of(self._parameters, None)} ({self._peer.host})"


def _shown(socket: StompProtocol) -> str:
    """How a broker calls itself."""
    names = [repr(each) for each in (socket.server, socket.process) if each]
    return " ".join(names) or "which has no name"
