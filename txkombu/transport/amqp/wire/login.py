"""
The login at a broker, without any I/O (AMQP 0-9-1, 2.2.4).

We send the protocol header.  Then::

    broker                          we
    connection.start                start-ok, with the credentials
    connection.tune                 tune-ok and open
    connection.open-ok              nothing: it is done
    connection.close                nothing: it has failed

Any other method at any of these points breaks the protocol.
"""

from __future__ import annotations

import platform
from re import compile as pattern
from typing import TYPE_CHECKING, Any, Final

import attrs
from pamqp import commands
from pamqp.base import Frame as Method

from ...._version import __version__
from ....exceptions import AuthenticationFailed, ConnectError, ProtocolError
from ...errors import with_cause
from .errors import error_of

if TYPE_CHECKING:
    from ....url.parameters import Parameters

_Connection = commands.Connection

FRAME_MAX: Final = 131072
"""The largest frame that we ask for, and take until a size is agreed on, in bytes."""

_MIN_FRAME: Final = 4096
_MAX_CHANNELS: Final = 65535
_REFUSALS: Final = frozenset((402, 403, 530))
"""Codes of wrong credentials, of no such virtual host, and of no right to it."""

_LIMIT: Final = pattern(r"connection limit \(\d+\) is reached$")
"""Such a limit of a user, virtual host or node has room again when others leave."""

_CAPABILITIES: Final = (
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "exchange_exchange_bindings",
    "authentication_failure_close",
)


@attrs.frozen
class Tuning:
    """
    What both sides agreed on (AMQP 0-9-1, connection.tune).

    @ivar channel_max: the highest channel number.
    @ivar frame_max: the size of a whole frame at most, in bytes.
    @ivar heartbeat: seconds; 0 is none.
    """

    channel_max: int = _MAX_CHANNELS
    frame_max: int = FRAME_MAX
    heartbeat: int = 0


def _smaller(ours: int, theirs: int) -> int:
    """Return the smaller of two limits; 0 is no limit."""
    return min(ours, theirs) if ours and theirs else ours or theirs


Answers = list[tuple[type[Method], dict[str, object]]]
"""Methods to write, with their arguments."""


def tune(parameters: Parameters, offer: _Connection.Tune) -> Tuning:
    """
    Return what is agreed on, given a broker's offer.

    @raise ProtocolError: its frames are smaller than AMQP allows.
    """
    wanted = max(1, round(parameters.heartbeat)) if parameters.heartbeat else 0
    tuning = Tuning(
        _smaller(parameters.channel_max, offer.channel_max) or _MAX_CHANNELS,
        _smaller(FRAME_MAX, offer.frame_max),
        min(_smaller(wanted, offer.heartbeat), 65535),
    )
    if tuning.frame_max < _MIN_FRAME:
        raise ProtocolError(
            f"the broker offers frames of {offer.frame_max} bytes, "
            f"at least {_MIN_FRAME} are needed"
        )
    return tuning


def client_properties(parameters: Parameters) -> dict[str, object]:
    """Return what a broker is told about this program."""
    told: dict[str, object] = {
        "product": "txkombu",
        "version": __version__,
        "platform": f"Python {platform.python_version()}",
        "capabilities": dict.fromkeys(_CAPABILITIES, True),
    }
    if parameters.connection_name:
        told["connection_name"] = parameters.connection_name
    return told


def refused(method: Any, parameters: Parameters, place: str) -> ConnectError:
    """
    Return the error for a login that the broker refuses by closing the connection.

    @param method: its connection.close.
    @param place: what is connected to.
    """
    cause = error_of(method)
    if cause.code in _REFUSALS and not _LIMIT.search(cause.text):
        error: ConnectError = AuthenticationFailed(
            f"{place} refuses user {parameters.userid!r} for virtual host "
            f"{parameters.virtual_host!r}: {cause}"
        )
    else:
        error = ConnectError(f"{place} refuses the connection: {cause}")
    return with_cause(error, cause)


class AmqpLogin:
    """
    One login.

    @ivar done: whether it has succeeded.
    @ivar product: the broker's name, once known.
    @ivar version: its version, once known.
    @ivar tuning: what was agreed on; before that, the limits that hold until then.
    """

    def __init__(self, parameters: Parameters, place: str) -> None:
        """@param place: what is connected to, for errors."""
        self.done = False
        self.product = self.version = ""
        self.tuning = Tuning()
        self._parameters = parameters
        self._place = place
        self._due: type[Method] = _Connection.Start

    @property
    def answered(self) -> bool:
        """Whether the broker has said anything."""
        return self._due is not _Connection.Start

    def answer(self, method: Method) -> Answers:
        """
        Take the broker's next method.

        @return: what to write, in this order.
        @raise AuthenticationFailed: the broker refuses the login.
        @raise ConnectError: the broker refuses the connection, or lacks what is needed.
        @raise ProtocolError: another method was due.
        """
        if isinstance(method, _Connection.Close):
            raise refused(method, self._parameters, self._place)
        if not isinstance(method, self._due):
            raise ProtocolError(f"{method.name} came instead of {self._due.name}")
        if isinstance(method, _Connection.Start):
            return self._start(method)
        if isinstance(method, _Connection.Tune):
            return self._tune(method)
        self.done = True
        return []

    def _start(self, method: _Connection.Start) -> Answers:
        if (method.version_major, method.version_minor) != (0, 9):
            raise ConnectError(
                f"{self._place} speaks AMQP {method.version_major}-"
                f"{method.version_minor}, not 0-9"
            )
        told = method.server_properties
        self.product = _text(told.get("product", ""))
        self.version = _text(told.get("version", ""))
        self._due = _Connection.Tune
        mechanism = self._parameters.auth_mechanism or "PLAIN"
        offered = _text(method.mechanisms).split()
        if mechanism not in offered:
            raise ConnectError(
                f"{self._place} does not offer to log in by {mechanism}, only by "
                f"{', '.join(offered) or 'nothing'}"
            )
        response = f"\0{self._parameters.userid}\0{self._parameters.password}"
        answer: dict[str, object] = {
            "client_properties": client_properties(self._parameters),
            "mechanism": mechanism,
            "response": "" if mechanism == "EXTERNAL" else response,
            "locale": "en_US",
        }
        return [(_Connection.StartOk, answer)]

    def _tune(self, method: _Connection.Tune) -> Answers:
        self.tuning = tune(self._parameters, method)
        self._due = _Connection.OpenOk
        return [
            (_Connection.TuneOk, attrs.asdict(self.tuning)),
            (_Connection.Open, {"virtual_host": self._parameters.virtual_host}),
        ]


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
