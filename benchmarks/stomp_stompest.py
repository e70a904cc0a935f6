"""
stompest's parser and frames on a Twisted protocol, with bodies of bytes.
"""

from __future__ import annotations

from typing import Any

from stompest.protocol import StompFrame, StompParser, commands
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import react

from benchmarks.job import HOST, WINDOW, Job
from benchmarks.report import Stopwatch
from benchmarks.stomp_job import LOGIN, PROPERTIES, prefetch_of
from benchmarks.window import Window

_VERSION = "1.2"


class Client(Protocol):
    """
    A connection: a received frame fires a Deferred, or is passed to C{on_message}.
    """

    def __init__(self) -> None:
        self.ready: Deferred[None] = Deferred()
        self._parser = StompParser(_VERSION)
        self._waiting: dict[str, Deferred[None]] = {}
        self._receipts = 0

    def connectionMade(self) -> None:
        self.send(StompFrame("STOMP", LOGIN, version=_VERSION))

    def dataReceived(self, data: bytes) -> None:
        parser = self._parser
        parser.add(data)
        while parser.canRead():
            frame = parser.get()
            if frame:  # a heartbeat gives no frame
                self._take(frame)

    def _take(self, frame: Any) -> None:
        if frame.command == "RECEIPT":
            self._waiting.pop(frame.headers["receipt-id"]).callback(None)
        elif frame.command == "MESSAGE":
            self.on_message(frame)
        else:
            assert frame.command == "CONNECTED", frame
            self.ready.callback(None)

    def on_message(self, frame: Any) -> None:
        """Handle a MESSAGE frame; each job sets its own function."""

    def send(self, frame: Any) -> None:
        self.transport.write(bytes(frame))  # type: ignore[union-attr]  # set when it was connected

    def receipt(self) -> tuple[str, Deferred[None]]:
        """
        Return the name of a new receipt, and a Deferred that fires when it arrives.
        """
        self._receipts += 1
        waiting: Deferred[None] = Deferred()
        self._waiting[str(self._receipts)] = waiting
        return str(self._receipts), waiting


async def publish(job: Job, client: Client) -> None:
    """Publish with receipts, 200 in flight."""
    bodies = job.bodies()

    def send(number: int) -> Deferred[None]:
        name, waiting = client.receipt()
        frame = commands.send(
            job.queue, bodies[number], PROPERTIES, name, version=_VERSION
        )
        frame.setContentLength()
        client.send(frame)
        return waiting

    watch = Stopwatch()
    await Window(job, send).run()
    watch.report(job.messages)


async def consume(job: Job, client: Client) -> None:
    """Consume, and ack each message as it arrives."""
    left = job.messages
    done: Deferred[None] = Deferred()

    def handle(frame: Any) -> None:
        nonlocal left
        client.send(commands.ack(frame))
        left -= 1
        if not left:
            done.callback(None)

    client.on_message = handle  # type: ignore[method-assign]  # each job handles its own way
    headers = {"id": "1", "ack": "client-individual", prefetch_of(job): str(WINDOW)}
    watch = Stopwatch()
    frame, _ = commands.subscribe(job.queue, headers, version=_VERSION)
    client.send(frame)
    await done
    watch.report(job.messages)


MODES = {"confirm": publish, "consume": consume}


async def main(reactor: Any) -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    endpoint = TCP4ClientEndpoint(reactor, HOST, job.port)
    client = await connectProtocol(endpoint, Client())
    await client.ready
    await MODES[job.mode](job, client)
    name, gone = client.receipt()
    client.send(commands.disconnect(name, version=_VERSION))
    await gone


if __name__ == "__main__":
    react(main)
