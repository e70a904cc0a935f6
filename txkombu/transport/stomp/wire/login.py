"""
The login at a broker, without any I/O (STOMP 1.2, "Connecting").

The broker answers our STOMP with CONNECTED or ERROR, in which nothing is escaped
yet: stompest reads that by the rules of STOMP 1.0, in pieces that cannot do it any
harm.  What comes after that frame is none of our business.
"""

from __future__ import annotations

from re import compile as pattern
from typing import TYPE_CHECKING, Any, Final

import attrs

from ....exceptions import ConnectError, ProtocolError
from ...errors import with_cause
from .errors import login_error
from .frames import Frame, encode_frame
from .parser import check_begin
from .stompest_core import StompError, StompParser, connected, negotiateHeartBeat

if TYPE_CHECKING:
    from ....url.parameters import Parameters

VERSION: Final = "1.2"
_ANSWER_MOST: Final = 32 * 1024
_LONGEST_BEAT: Final = 2**31 - 1
_NUMBERED: Final = pattern(r"(ID:.+-[0-9]+-[0-9]+-[0-9]+):[0-9]+")


@attrs.frozen
class Agreed:
    """
    What a login led to.

    @ivar server: what the broker says it is; C{""} if it does not.
    @ivar sends: we have to send something that often; seconds, 0 for never.
    @ivar hears: the broker sends something that often.
    @ivar process: what tells the broker's process from all others; C{""} if it does
        not say.
    """

    server: str
    sends: float
    hears: float
    process: str = ""


def _beat(parameters: Parameters) -> int:
    """How often we want to send and to hear something; milliseconds."""
    seconds = parameters.heartbeat
    return min(max(1, round(seconds * 1000)), _LONGEST_BEAT) if seconds else 0


def login_frame(parameters: Parameters) -> bytes:
    """
    The frame that logs in.

    The command is STOMP: RabbitMQ unescapes the headers of a CONNECT although it
    must not.  Both credentials are always told: without any, RabbitMQ takes a
    user of its own choice.

    @raise ConnectError: something cannot be written; it is not shown.
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
        return encode_frame("STOMP", headers)
    except ValueError as error:
        raise ConnectError(f"the login cannot be written: {error}") from None


class StompLogin:
    """One login."""

    def __init__(self, parameters: Parameters, place: str) -> None:
        """
        @param place: what is connected to, for errors.
        """
        self._parameters = parameters
        self._place = place
        self._parser = StompParser("1.0")
        self._parser._codec = "latin-1"  # takes all bytes; see _text
        self._begin = b""
        self._size = 0

    @property
    def answered(self) -> bool:
        """Whether the broker has said anything."""
        return self._size > 0

    def feed(self, data: bytes) -> tuple[Agreed, bytes] | None:
        """
        Take more of the broker's answer.

        @return: what was agreed on and what came after that; C{None} if more
            must come.
        @raise AuthenticationFailed: the broker does not let us in.
        @raise ConnectError: it will not do.
        @raise ProtocolError: this is no answer.
        """
        while data:
            piece, end, data = data.partition(b"\0")
            frame = self._add(piece + end)
            if frame is not None:
                return self._answered(frame), data
        return None

    def _add(self, piece: bytes) -> Any:
        """Give stompest so much that there is at most one frame in it."""
        self._size += len(piece)
        if self._size > _ANSWER_MOST:
            raise ProtocolError(
                f"the answer to a login is larger than {_ANSWER_MOST} bytes"
            )
        if len(self._begin) < 16:
            self._begin = (self._begin + piece).lstrip(b"\r\n")[:16]
            check_begin(self._begin, "CONNECTED", "ERROR")
        try:
            self._parser.add(piece)
        except (StompError, ValueError) as error:
            raise ProtocolError(f"the answer to a login cannot be read: {error}") from (
                error
            )
        return self._parser.get()

    def _answered(self, frame: Any) -> Agreed:
        headers = {_text(name): _text(value) for name, value in frame.headers.items()}
        if frame.command == "ERROR":
            answer = Frame("ERROR", headers, frame.body)
            raise login_error(answer, self._parameters, self._place)
        version = headers.get("version", "1.0")
        if version != VERSION:
            raise ConnectError(
                f"{self._place} speaks STOMP {version[:20]!r}, not {VERSION}"
            )
        return self._agree(frame)

    def _agree(self, frame: Any) -> Agreed:
        try:
            _, server, session, (sends, wants) = connected(frame, [VERSION])
        except StompError as error:
            raise with_cause(
                ProtocolError(f"the broker's heart-beat is wrong: {error}"), error
            ) from error
        ours = _beat(self._parameters)
        return Agreed(
            _text(server or ""),
            negotiateHeartBeat(ours, wants) / 1000,
            negotiateHeartBeat(ours, sends) / 1000,
            _process_of(_text(session or "")),
        )


def _process_of(session: str) -> str:
    """
    ActiveMQ numbers its connections behind the host, the port and the time that its
    process began with; to RabbitMQ each session is a random word.
    """
    numbered = _NUMBERED.fullmatch(session)
    return "" if numbered is None else numbered[1]


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "replace")
