"""The settings of a connection: brokers, credentials, timeouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from .._util import backoff
from .._util.backoff import ReconnectPolicy
from .._util.validation import check_callable, check_seconds
from ..interfaces import IBrokerTransport
from ..transport.registry import transport_for
from ..url.parameters import Parameters
from .credentials import AskedPassword
from .lifecycle import State

_EXCHANGE_TYPES = frozenset({"direct", "fanout", "topic", "headers"})


@attrs.frozen(eq=False)
class Credentials:
    """
    What a connection logs in with, until L{Settings.set_password} changes it.

    @ivar alternates: the broker's URLs.
    @ivar asked: asks for the password; C{None} if that of the URLs is used.
    """

    alternates: Sequence[Parameters]
    asked: AskedPassword | None


class Settings:
    """
    What a connection was made with.

    @param asked: asks for the password, in place of that of the URLs.
    @ivar alternates: the broker's URLs, tried in turn.
    @ivar endpoint: where to connect instead of their hosts and ports.
    @ivar operation_timeout: seconds for one operation.
    @ivar reconnect: how long to wait between attempts.
    @ivar wait_for_broker: whether a first attempt that fails is made again; C{None}
        is no for a program, and yes for a service.
    @ivar on_state: called with each new state of the connection.
    """

    def __init__(
        self,
        alternates: Sequence[Parameters],
        transport: IBrokerTransport | None,
        endpoint: IStreamClientEndpoint | None,
        reactor: IReactorTime | None,
        operation_timeout: float,
        reconnect: ReconnectPolicy | None,
        asked: AskedPassword | None = None,
        on_state: Callable[[State], object] | None = None,
    ) -> None:
        self.alternates = list(alternates)
        self._given_transport = transport
        self.endpoint = endpoint
        self._reactor = reactor
        self.set_operation_timeout(operation_timeout)
        self._credentials = [Credentials(tuple(alternates), asked)]
        told = {each.wait_for_broker for each in alternates} - {None}
        self.wait_for_broker = told.pop() if told else None
        self._make_name: Callable[[], str] | None = None
        self.on_state = on_state
        if on_state is not None:
            check_callable("on_state", on_state, 1)
        self.reconnect = backoff.DEFAULT if reconnect is None else reconnect
        if not isinstance(self.reconnect, ReconnectPolicy):
            raise TypeError(
                "reconnect must be a txkombu.policy.ReconnectPolicy, "
                f"not {type(reconnect).__name__}"
            )

    def set_operation_timeout(self, seconds: float) -> None:
        """Give operations so many seconds from now on."""
        self.operation_timeout = check_seconds("operation_timeout", seconds)

    @property
    def clock(self) -> IReactorTime:
        """The reactor, looked up on first use if none was given."""
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = IReactorTime(reactor)
        return self._reactor

    def name_by(self, make_name: Callable[[], str]) -> None:
        """
        Name the connection by a function, where no URL or argument has named it.

        @param make_name: called for each login.
        """
        self._make_name = make_name

    def _named(self, parameters: Parameters) -> Parameters:
        if self._make_name is None or parameters.connection_name is not None:
            return parameters
        return attrs.evolve(parameters, connection_name=self._make_name())

    def copy(self) -> Settings:
        """Return the same settings for another connection."""
        copy = Settings(
            self.alternates,
            self._given_transport,
            self.endpoint,
            self._reactor,
            self.operation_timeout,
            self.reconnect,
            self._credentials[-1].asked,
            self.on_state,
        )
        if self._make_name is not None:
            copy.name_by(self._make_name)
        return copy

    def login_at(self, parameters: Parameters) -> Deferred[Parameters]:
        """Return a Deferred of the parameters with the name and password of a login."""
        named = self._named(parameters)
        asked = self._credentials[-1].asked
        if asked is None:
            return succeed(named)
        login: Deferred[Parameters] = asked.login_at(named)
        return login

    def transport_of(self, parameters: Parameters) -> IBrokerTransport:
        """Return the transport of one of the alternates."""
        return self._given_transport or transport_for(parameters.transport)

    def set_password(self, password: str) -> Credentials:
        """
        Use another password from now on, at each of the alternates.

        @return: what L{keep} or L{forget} is to be called with.
        """
        changed = [attrs.evolve(each, password=password) for each in self.alternates]
        credentials = Credentials(changed, None)
        self._credentials.append(credentials)
        self.alternates[:] = changed
        return credentials

    def keep(self, credentials: Credentials) -> None:
        """Keep credentials for good, unless they were forgotten."""
        if credentials in self._credentials:
            del self._credentials[: self._credentials.index(credentials)]

    def forget(self, credentials: Credentials) -> None:
        """Use those before again, unless there are newer ones."""
        if credentials in self._credentials[1:]:
            self._credentials.remove(credentials)
            self.alternates[:] = self._credentials[-1].alternates

    @property
    def transport_name(self) -> str:
        """The URL scheme."""
        return self.alternates[0].transport

    def info(self) -> Mapping[str, object]:
        """Return the settings by name, without the password."""
        first = self._named(self.alternates[0])
        return {
            "transport": first.transport,
            "hostname": first.hostname,
            "port": first.port,
            "userid": first.userid,
            "virtual_host": first.virtual_host,
            "name": first.connection_name,
            "heartbeat": first.heartbeat,
            "connect_timeout": first.connect_timeout,
            "operation_timeout": self.operation_timeout,
            "alternates": [each.as_uri() for each in self.alternates],
        }

    def as_uri(self, include_password: bool = False) -> str:
        """
        Return the URL of the first alternate, C{**} for its password, and always for
        one that is asked for.
        """
        is_known = self._credentials[-1].asked is None
        return self.alternates[0].as_uri(include_password and is_known)

    def supports_exchange_type(self, type: str) -> bool:
        """
        Return whether the transport can declare exchanges of a type.

        A broker's own types count as supported: the broker refuses what it lacks.
        """
        if self.transport_name.startswith("stomp"):
            return type in _EXCHANGE_TYPES - {"headers"}
        return bool(type)
