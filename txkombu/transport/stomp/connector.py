"""
Opens sockets to one broker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from ...exceptions import AuthenticationFailed, ConnectError
from ..connect import check_credentials, connect
from ..endpoints import place_of
from .protocol import IProtocolOwner, StompProtocol

if TYPE_CHECKING:
    from ...url.parameters import Parameters


class Connector:
    """
    Opens sockets, all to the same place.

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
            C{parameters}.
        """
        self.parameters = parameters
        self.place = place_of(parameters, endpoint)
        self.clock = clock
        self._endpoint = endpoint

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
        return connect(socket, self.parameters, self._endpoint, self.clock)

    def _check(self) -> None:
        check_credentials(self.parameters)
        if self.parameters.auth_mechanism == "EXTERNAL":
            raise AuthenticationFailed(
                "STOMP logs in by user and password, not by EXTERNAL"
            )
