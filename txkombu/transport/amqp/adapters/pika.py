"""
C{pika://} and C{pikas://}: pika's Twisted adapter behind the contract.

pika's C{TwistedProtocolConnection} logs in, cuts what comes into frames, reads
methods, and frames and writes what is sent.  What its channels would do on top of
that is done by L{txkombu.transport.amqp}: they send one request at a time, and let
publishes overtake it; they take returns and confirms for those of other messages;
they forget which method an error is about.  Tables and properties are not left to
pika either: it cuts the fraction off a double, and can write none.  Nor are
heartbeats: it waits for a dead peer to take what was written before it lets go of
the socket.

Importing pika's adapter installs a reactor.  So that is done when a connection
is first attempted, which is when a L{PikaTransport} is made.
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
from pamqp.constants import FRAME_BODY, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD
from twisted.internet.interfaces import IReactorTime

from ....exceptions import ProtocolError
from ....interfaces import ISessionChannelListener, ISessionListener, Properties
from ..channel import AmqpSessionChannel
from ..interfaces import Publisher
from ..session import AmqpSession
from ..transport import AmqpTransportBase
from ..wire.adapter_codec import encode_arguments, encode_properties
from ..wire.adapter_frames import parts, pieces
from ..wire.content import Content, assembler
from ..wire.login import client_properties

if TYPE_CHECKING:
    from ....url.parameters import Parameters

_Basic = commands.Basic

_ADAPTER: Final = "pika.adapters.twisted_connection"
_PAYLOADS: Final = {
    FRAME_METHOD: "method",
    FRAME_HEADER: "properties",
    FRAME_BODY: "fragment",
    FRAME_HEARTBEAT: "NAME",
}
"""What pika calls what is in a frame of each type."""
CACHE_SIZE: Final = 500
"""How many of a channel's publishes are kept, less content."""


def _encoded(index: int, encoded: bytes) -> object:
    """A method or the properties of a class that pika only has to frame."""
    return SimpleNamespace(INDEX=index, encode=lambda: [encoded])


class PikaSession(AmqpSession):
    """One connection to one broker, of pika's; see L{ISession}."""

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
        self._connection = connection = self._protocol._impl
        self._assemblers = {0: assembler(0, _method)}
        self._arrived: Any = None
        self._take_by_pika = connection._process_frame
        connection._process_frame = self._take_frame
        connection._read_frame = self._read_frame
        connection._create_heartbeat_checker = lambda: None

    def _new_channel(
        self, number: int, listener: ISessionChannelListener
    ) -> AmqpSessionChannel:
        self._assemblers[number] = assembler(number, _method, self.max_message_size)
        return super()._new_channel(number, listener)

    def publisher(self, number: int) -> Publisher:
        method = lru_cache(CACHE_SIZE)(partial(self.pack, number, _Basic.Publish))
        return partial(self._pack_publish, number, method)

    # --- what is written -----------------------------------------------------

    def _begin(self) -> None:
        self._protocol.makeConnection(self.transport)

    def _answer(self, methods: object) -> None:
        """Let pika answer what has been found to be due, as was agreed on."""
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
        cut = pieces(body, self.frame_max)
        bodies = [frame.Body(number, piece).marshal() for piece in cut]
        publish = method(
            exchange=exchange, routing_key=routing_key, mandatory=mandatory
        )
        return b"".join((publish, header, *bodies))

    def write(self, data: bytes) -> None:
        self.note_write()
        self._connection._output_marshaled_frames([data])

    def _beat(self) -> None:
        self.write(self._pika.frame.Heartbeat().marshal())

    # --- what comes ----------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def _read_frame(self) -> Any:
        """
        Read a frame as pika does, but leave the properties of a content alone.

        @return: how many bytes it has, and the frame; C{None} if there is none.
        @raise ProtocolError: this is no frame.
        """
        data: bytes = self._connection._frame_buffer
        if self.over:
            return 0, None
        size = self.frame_size(data)
        if data[0] != FRAME_HEADER or not 0 < size <= len(data):
            return _read(self._pika.frame.decode_frame, data)
        _, number, payload = parts(data[:size])
        return size, self._pika.frame.Header(number, 0, payload)

    def _take_frame(self, frame: Any) -> None:
        """Take what pika would look at and hand to its channels."""
        number, kind = frame.channel_number, frame.frame_type
        self.check_channel(number)
        payload = getattr(frame, _PAYLOADS[kind])
        self._arrived = frame
        found = self._assemblers[number].handle_frame(kind, payload)
        if isinstance(found, Content):
            assert found.listed is not None
            self.take_content(number, found.method, found.listed, found.body)
        elif found is not None:
            self.take_method(number, found)


def _settings(pika: Any, parameters: Parameters) -> Any:
    """What pika has to know; it does not connect by itself."""
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
    Have pika read something; its errors are of many kinds.

    @raise ProtocolError: it cannot.
    """
    try:
        return reader(what)
    except Exception as error:
        raise ProtocolError(f"pika cannot read what came: {error!r}") from error


def _method(read: Any) -> Method:
    """
    A method that pika has read, as pamqp's.

    @raise ProtocolError: a name in it is no text.
    """
    kind: Any = _read(commands.INDEX_MAPPING.__getitem__, read.INDEX)
    method: Method = kind.__new__(kind)
    for name in kind.attributes():
        value = getattr(read, name, None)  # pika calls those of clients otherwise
        if isinstance(value, bytes) and kind.amqp_type(name) == "shortstr":
            raise ProtocolError(f"{name} {value[:40]!r} is not UTF-8")
        setattr(method, name, value)
    return method


class PikaTransport(AmqpTransportBase):
    """What connects by pika; see L{IBrokerTransport}."""

    session = PikaSession

    def __init__(self) -> None:
        """@raise ImportError: pika is not there, or cannot be used."""
        import_module(_ADAPTER)
        super().__init__()
