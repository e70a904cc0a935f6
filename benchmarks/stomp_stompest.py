"""
stompest's parser and frames on a Twisted protocol, with bodies that are bytes.
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
    """One connection; what comes fires a Deferred, or calls C{on_message}."""

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
            if frame:  # a heart-beat is none
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
        """Set by who subscribes."""

    def send(self, frame: Any) -> None:
        self.transport.write(bytes(frame))  # type: ignore[union-attr]  # set when it was connected

    def receipt(self) -> tuple[str, Deferred[None]]:
        """What names a receipt, and fires with it."""
        self._receipts += 1
        waiting: Deferred[None] = Deferred()
        self._waiting[str(self._receipts)] = waiting
        return str(self._receipts), waiting


async def publish(job: Job, client: Client) -> None:
    """With receipts, 200 on their way."""
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
    await Window(job.messages, send).run()
    watch.report(job.messages)


async def consume(job: Job, client: Client) -> None:
    """Acking each as it comes."""
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
    """Do what the command line asks for."""
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
