"""
A network with faults between a client and a broker: a proxy on the loopback interface
whose links tests can cut, freeze, delay, throttle and half close.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from tests.support.broker_process import HOST

_ROOM = 256 * 1024
"""Bytes that one direction of a link holds before its source is paused."""

_SLICE = 0.02
"""
Seconds' worth of bytes that a throttled direction passes on at once.
"""


class Way:
    """
    The settings of one direction of all links; a test may change them at any time.

    @ivar frozen: nothing passes, and nothing is read.
    @ivar delay: seconds by which each byte is delayed.
    @ivar rate: bytes a second at most; 0 is no limit.
    @ivar cut_after: cut the link after so many more bytes; C{None} is never.
    @ivar passed: how many bytes have passed.
    """

    def __init__(self) -> None:
        self.frozen = False
        self.delay = 0.0
        self.rate = 0
        self.cut_after: int | None = None
        self.passed = 0


class Pipe:
    """One direction of one link."""

    def __init__(self, reactor: Any, way: Way, link: Link) -> None:
        self._reactor = reactor
        self.way = way
        self._link = link
        self._held: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._next = 0.0
        self._paused = False
        self._full = False
        self._call: IDelayedCall | None = None
        self.source: Any = None
        self.sink: Any = None
        self._ended = self._closed = False

    def join(self, source: Any, sink: Any) -> None:
        """Begin to pass on what C{source} sends."""
        self.source, self.sink = source, sink
        sink.registerProducer(self, True)
        self.pump()

    def feed(self, data: bytes) -> None:
        """Take bytes from the source."""
        if self._closed:
            return
        self._held.append((self._reactor.seconds() + self.way.delay, data))
        self._size += len(data)
        self.pump()

    def end(self) -> None:
        """
        Close the sink when everything is passed on; called when the source has closed.
        """
        self._ended = True
        self.pump()

    def pump(self) -> None:
        """Pass on the bytes that may pass now."""
        while self.sink is not None and self._may_pass():
            self._pass(self._take())
        if self.sink is not None:
            self._read(not self.way.frozen and self._size < _ROOM)
            if self._ended and not self._held:
                self.sink.loseConnection()
                self.close()

    def _may_pass(self) -> bool:
        if self.way.frozen or self._full or not self._held:
            return False
        due = max(self._held[0][0], self._next)
        now = self._reactor.seconds()
        if due > now and self._call is None:
            self._call = self._reactor.callLater(due - now, self._on_time)
        return bool(due <= now)

    def _on_time(self) -> None:
        self._call = None
        self.pump()

    def _take(self) -> bytes:
        due, data = self._held.popleft()
        rate = self.way.rate
        if rate:
            maximum = max(1, int(rate * _SLICE))
            if len(data) > maximum:
                self._held.appendleft((due, data[maximum:]))
                data = data[:maximum]
            self._next = self._reactor.seconds() + len(data) / rate
        self._size -= len(data)
        return data

    def _pass(self, data: bytes) -> None:
        way = self.way
        cut = way.cut_after is not None and len(data) >= way.cut_after
        if cut:
            data = data[: way.cut_after]
        way.passed += len(data)
        self.sink.write(data)
        if cut:
            way.cut_after = None
            self._link.cut(flush=True)
        elif way.cut_after is not None:
            way.cut_after -= len(data)

    def _read(self, wanted: bool) -> None:
        if self._paused is not wanted:
            return
        self._paused = not wanted
        if wanted:
            self.source.resumeProducing()
        else:
            self.source.pauseProducing()

    def close(self) -> None:
        """Pass on nothing more."""
        self._closed = True
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.unregisterProducer()
            # A paused transport would not notice that its peer has closed.
            self._read(True)
        self._held.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    # --- what the sink tells ------------------------------------------------

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        self.pump()

    def stopProducing(self) -> None:
        self.close()


class _End(Protocol):
    """The proxy's end of a connection."""

    def __init__(self, link: Link, way_out: Pipe) -> None:
        self._link = link
        self._way_out = way_out

    def connectionMade(self) -> None:
        self._link.made(self)

    def dataReceived(self, data: bytes) -> None:
        self._way_out.feed(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._link.lost(self)


class Link:
    """One client's connection, and the proxy's connection to the broker for it."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self.out = Pipe(proxy.reactor, proxy.to_broker, self)
        self.back = Pipe(proxy.reactor, proxy.to_client, self)
        self.client = _End(self, self.out)
        self.broker = _End(self, self.back)
        self._open: list[_End] = []
        self._connecting: Deferred[Any] | None = None

    def made(self, end: _End) -> None:
        """Note that an end is connected; the client's end is the first."""
        self._open.append(end)
        end.transport.setTcpNoDelay(True)  # type: ignore[union-attr]  # every transport here has it
        if end is self.client:
            self._connect()
        else:
            self.out.join(self.client.transport, end.transport)
            self.back.join(end.transport, self.client.transport)

    def _connect(self) -> None:
        proxy = self._proxy
        endpoint = HostnameEndpoint(proxy.reactor, HOST, proxy.target)
        self._connecting = endpoint.connect(Factory.forProtocol(lambda: self.broker))
        self._connecting.addErrback(lambda reason: self.cut())

    def lost(self, end: _End) -> None:
        """Note that an end has closed, and close the other."""
        self._open.remove(end)
        if end is self.client:
            self.back.close()
            self.out.end()
        else:
            self.out.close()
            self.back.end()
        if self.broker.transport is None:
            assert self._connecting is not None
            self._connecting.cancel()
        self._proxy.ended(self)

    def cut(self, flush: bool = False) -> None:
        """
        Cut both ends.

        @param flush: pass on first what was written.
        """
        self.out.close()
        self.back.close()
        for end in list(self._open):
            transport: Any = end.transport
            if flush:
                transport.loseConnection()
            else:
                transport.abortConnection()

    @property
    def is_open(self) -> bool:
        return bool(self._open)


class _Clients(Factory):
    noisy = False

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy

    def buildProtocol(self, addr: object) -> Protocol | None:
        return self._proxy.accept()


class FaultProxy:
    """
    Passes connections on to a broker, with the faults that a test asks for.

    @ivar port: the port on which it listens.
    @ivar to_broker: the settings for bytes from clients.
    @ivar to_client: the settings for bytes from the broker.
    @ivar refusing: whether new connections are cut at once.
    @ivar accepted: how many connections were accepted.
    """

    def __init__(self, reactor: Any, target: int) -> None:
        """
        @param target: the broker's port.
        """
        self.reactor = reactor
        self.target = target
        self.to_broker, self.to_client = Way(), Way()
        self.refusing = False
        self.accepted = 0
        self._links: list[Link] = []
        self._all_gone: Deferred[None] | None = None
        self._listening = reactor.listenTCP(0, _Clients(self), interface=HOST)
        self.port: int = self._listening.getHost().port

    def accept(self) -> Protocol | None:
        """Take a client's connection; returning C{None} closes it."""
        self.accepted += 1
        if self.refusing:
            return None
        link = Link(self)
        self._links.append(link)
        return link.client

    def ended(self, link: Link) -> None:
        """Forget a link whose one end has closed."""
        if not link.is_open and link in self._links:
            self._links.remove(link)
        if self._all_gone is not None and not self._links:
            gone, self._all_gone = self._all_gone, None
            gone.callback(None)

    @property
    def links(self) -> list[Link]:
        """The open links, oldest first."""
        return list(self._links)

    # --- faults ---------------------------------------------------------------

    def cut(self) -> None:
        """Cut all links, as a TCP reset does."""
        for link in list(self._links):
            link.cut()

    def freeze(self, *ways: Way) -> None:
        """
        Let nothing pass, but keep the connections; freeze both directions if none is
        given.
        """
        for way in ways or self.ways:
            way.frozen = True

    def thaw(self) -> None:
        """Pass on everything that was held, and continue."""
        for way in self.ways:
            way.frozen = False
        for pipe in self._pipes():
            pipe.pump()

    def half_close(self, way: Way) -> None:
        """Close one direction of all links; the other continues."""
        for pipe in self._pipes():
            if pipe.way is way and pipe.sink is not None:
                pipe.sink.loseWriteConnection()

    @property
    def ways(self) -> tuple[Way, Way]:
        """Both directions: to the broker, and to the client."""
        return (self.to_broker, self.to_client)

    def _pipes(self) -> Iterator[Pipe]:
        for link in list(self._links):
            yield from (link.out, link.back)

    def stop(self) -> Deferred[None]:
        """Cut everything, and stop listening; fires when everything has closed."""
        self.refusing = True
        self.thaw()
        self.cut()
        stopping = maybeDeferred(self._listening.stopListening)
        return stopping.addCallback(lambda _: self._when_gone())

    def _when_gone(self) -> Deferred[None]:
        gone: Deferred[None] = Deferred()
        if not self._links:
            gone.callback(None)
        else:
            self._all_gone = gone
        return gone
