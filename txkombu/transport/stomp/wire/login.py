"""The login at a broker (STOMP 1.2, "Connecting"), without any I/O."""

from __future__ import annotations

from re import compile as pattern
from typing import TYPE_CHECKING, Final

import attrs

from ....exceptions import ConnectError, ProtocolError
from ...errors import with_cause
from .errors import login_error
from .frames import encode_frame
from .parser import Frame
from .stompest_core import (
    StompError,
    StompFrame,
    StompSpec,
    connected,
    negotiateHeartBeat,
)

if TYPE_CHECKING:
    from ....url.parameters import Parameters

VERSION: Final = StompSpec.VERSION_1_2
_LONGEST_BEAT: Final = 2**31 - 1
_NUMBERED: Final = pattern(r"(ID:.+-[0-9]+-[0-9]+-[0-9]+):[0-9]+")


@attrs.frozen
class Agreed:
    """
    What a login led to; C{""} for what the broker does not say.

    @ivar server: what the broker calls itself.
    @ivar sends: how often this program has to send something; seconds, 0 for never.
    @ivar hears: how often the broker sends something.
    @ivar process: what identifies the broker's process.
    """

    server: str
    sends: float
    hears: float
    process: str = ""


def _beat(parameters: Parameters) -> int:
    """Return the heart-beat to ask for, in both directions; milliseconds."""
    seconds = parameters.heartbeat
    return min(max(1, round(seconds * 1000)), _LONGEST_BEAT) if seconds else 0


def login_frame(parameters: Parameters) -> bytes:
    """
    Return the frame that logs in; raise ConnectError if a value cannot be written.

    The command is STOMP, because RabbitMQ unescapes the headers of a CONNECT although
    it must not.  Both credentials are always sent: without any, RabbitMQ logs in its
    default user.
    """
    beat = _beat(parameters)
    headers = (
        ("accept-version", VERSION),
        ("host", parameters.virtual_host),
        ("login", parameters.userid),
        ("passcode", parameters.password),
        ("heart-beat", f"{beat},{beat}"),
    )
    try:
        return encode_frame(StompSpec.STOMP, headers)
    except ValueError as error:
        raise ConnectError(f"the login cannot be written: {error}") from None


def agree(frame: Frame, parameters: Parameters, place: str) -> Agreed:
    """Read the answer; raise L{ConnectError} or L{ProtocolError} if it will not do."""
    headers = {_text(name): _text(value) for name, value in frame.headers.items()}
    if frame.command == StompSpec.ERROR:
        answer = Frame(frame.command, headers, frame.body)
        raise login_error(answer, parameters, place)
    version = headers.get(StompSpec.VERSION_HEADER, StompSpec.VERSION_1_0)
    if version != VERSION:
        raise ConnectError(f"{place} speaks STOMP {version[:20]!r}, not {VERSION}")
    answered = StompFrame(frame.command, headers, version=VERSION)
    try:
        _, server, session, (sends, wants) = connected(answered, [VERSION])
    except StompError as error:
        raise with_cause(
            ProtocolError(f"the broker's heart-beat is wrong: {error}"), error
        ) from error
    ours = _beat(parameters)
    # ActiveMQ numbers its connections behind the host, the port and the start time of
    # its process.  RabbitMQ gives each session a random word.
    numbered = _NUMBERED.fullmatch(session or "")
    return Agreed(
        server or "",
        negotiateHeartBeat(ours, wants) / 1000,
        negotiateHeartBeat(ours, sends) / 1000,
        "" if numbered is None else numbered[1],
    )


def _text(header: str) -> str:
    return header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
