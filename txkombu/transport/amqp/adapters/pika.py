"""
C{pika://} and C{pikas://}: pika's Twisted adapter behind the contract.

pika's C{TwistedProtocolConnection} logs in, cuts what comes into frames, reads methods,
and frames and writes what is sent.  What its channels would do on top of that is done
by L{txkombu.transport.amqp}: they send one request at a time, and let publishes
overtake it; they take returns and confirms for those of other messages; they forget
which method an error is about.  Tables and properties are not left to pika either: it
cuts the fraction off a double, and can write none.  Nor are heartbeats: it waits for a
dead peer to take what was written before it lets go of the socket.

Importing pika's adapter installs a reactor, so it is imported when a L{PikaTransport}
is made, which is when a connection is first attempted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import attrs
from pamqp import commands
from pamqp.base import Frame as Method
from twisted.internet.interfaces import IReactorTime

from ....exceptions import ProtocolError
from ....interfaces import ISessionListener, Properties
from ..interfaces import Publisher
from ..session import AmqpSession
from ..transport import AmqpTransportBase
from ..wire.frames import BODY, HEADER, HEARTBEAT, METHOD, body_pieces, split_frame
from ..wire.login import client_properties
from ..wire.methods import WORDS, encode_arguments
from ..wire.properties import encode_properties

if TYPE_CHECKING:
    from ....url.parameters import Parameters

_Basic = commands.Basic

_ADAPTER: Final = "pika.adapters.twisted_connection"
_PAYLOADS: Final = {
    METHOD: "method",
    HEADER: "properties",
    BODY: "fragment",
    HEARTBEAT: "NAME",
}
"""The attribute of pika's frames that holds what is in them, by their type."""
CACHE_SIZE: Final = 500
"""How many methods are kept for each channel: those of its latest publishes."""


def _encoded(index: int, encoded: bytes) -> object:
    """Return a method, or properties of a class, that pika only has to frame."""
    return SimpleNamespace(INDEX=index, encode=lambda: [encoded])


def _method(payload: Any) -> Method:
    """
    Return a method as pamqp's.

    @param payload: the method as pika has read it.
    @raise ProtocolError: a name in it is no text.
    """
    kind: Any = _read(commands.INDEX_MAPPING.__getitem__, payload.INDEX)
    method: Method = kind.__new__(kind)
    for name in kind.attributes():
        value = getattr(payload, name, None)  # pika calls those of clients otherwise
        if isinstance(value, bytes) and name in WORDS:
            value = value.decode("utf-8", "replace")
        elif isinstance(value, bytes) and kind.amqp_type(name) == "shortstr":
            raise ProtocolError(f"{name} {value[:40]!r} is not UTF-8")
        setattr(method, name, value)
    return method


class PikaSession(AmqpSession):
    """One connection to one broker, of pika's; see L{ISession}."""

    decode = staticmethod(_method)

    def __init__(
        self,
        parameters: Parameters,
        place: str,
        clock: IReactorTime,
        listener: ISessionListener,
        warned: set[str] | None = None,
    ) -> None:
        """See L{AmqpSession.__init__}."""
        super().__init__(parameters, place, clock, listener, warned)
        self._pika: Any = import_module("pika")
        adapter: Any = import_module(_ADAPTER)
        settings = _settings(self._pika, parameters)
        self._protocol = adapter.TwistedProtocolConnection(settings, clock)
        self._connection = self._protocol._impl  # noqa: SLF001 - pika has no public way
        hooks = vars(self._connection)
        self._take_by_pika = self._connection._process_frame  # noqa: SLF001 - pika has no public way
        hooks["_process_frame"] = self._take_frame
        hooks["_read_frame"] = self._read_frame
        hooks["_create_heartbeat_checker"] = lambda: None
        self._arrived: Any = None

    def publisher(self, number: int) -> Publisher:
        method = lru_cache(CACHE_SIZE)(partial(self.pack, number, _Basic.Publish))
        return partial(self._pack_publish, number, method)

    # --- what is written -----------------------------------------------------

    def _begin(self) -> None:
        self._protocol.makeConnection(self.transport)

    def _answer(self, methods: object) -> None:
        """Let pika answer the method that has come, by what was agreed on."""
        for name, value in attrs.asdict(self._handshake.tuning).items():
            setattr(self._connection.params, name, value)
        _read(self._take_by_pika, self._arrived)

    def pack(self, number: int, kind: type[Method], **arguments: object) -> bytes:
        method = _encoded(kind.index, encode_arguments(kind, arguments))
        return self.checked(self._pika.frame.Method(number, method).marshal())

    def _pack_publish(
        self,
        number: int,
        method: Callable[..., bytes],
        body: bytes,
        properties: Properties,
        exchange: str,
        routing_key: str,
        mandatory: bool,
    ) -> bytes:
        listed = _encoded(_Basic.frame_id, encode_properties(properties))
        frame = self._pika.frame
        header = self.checked(frame.Header(number, len(body), listed).marshal())
        cut = body_pieces(body, self.frame_max)
        bodies = [frame.Body(number, piece).marshal() for piece in cut]
        publish = method(
            exchange=exchange, routing_key=routing_key, mandatory=mandatory
        )
        return b"".join((publish, header, *bodies))

    def write(self, data: bytes) -> None:
        self.note_write()
        self._connection._output_marshaled_frames([data])  # noqa: SLF001 - pika has no public way

    def _beat(self) -> None:
        self.write(self._pika.frame.Heartbeat().marshal())

    # --- what comes ----------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def _read_frame(self) -> Any:
        """
        Read a frame as pika does, but do not read the properties of a content.

        @return: the frame's size in bytes, and the frame; 0 and C{None} if it is not
            all there.
        @raise ProtocolError: the bytes are no frame.
        """
        data: bytes = self._connection._frame_buffer  # noqa: SLF001 - pika has no public way
        if self.over:
            return 0, None
        size = self.frame_size(data)
        if data[0] != HEADER or not 0 < size <= len(data):
            return _read(self._pika.frame.decode_frame, data)
        _, number, payload = split_frame(data[:size])
        return size, self._pika.frame.Header(number, 0, payload)

    def _take_frame(self, frame: Any) -> None:
        """Take a frame that pika would hand to its channels."""
        kind = frame.frame_type
        self._arrived = frame
        self.take_frame(frame.channel_number, kind, getattr(frame, _PAYLOADS[kind]))


def _settings(pika: Any, parameters: Parameters) -> Any:
    """Return what pika has to know for the login; it does not connect by itself."""
    credentials = pika.PlainCredentials(parameters.userid, parameters.password)
    if parameters.auth_mechanism == "EXTERNAL":
        credentials = pika.credentials.ExternalCredentials()
    return pika.ConnectionParameters(
        virtual_host=parameters.virtual_host,
        credentials=credentials,
        client_properties=client_properties(parameters),
    )


def _read(reader: Callable[[Any], Any], what: Any) -> Any:
    """
    Have pika read something, and convert its errors, which are of many kinds.

    @raise ProtocolError: pika cannot read it.
    """
    try:
        return reader(what)
    except Exception as error:
        raise ProtocolError(f"pika cannot read what came: {error!r}") from error


class PikaTransport(AmqpTransportBase):
    """Connects by pika; see L{IBrokerTransport}."""

    session = PikaSession

    def __init__(self) -> None:
        """@raise ImportError: pika is not there, or cannot be used."""
        import_module(_ADAPTER)
        super().__init__()
