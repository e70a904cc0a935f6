"""
stomp.py, which reads in a thread, with bodies of bytes.
"""

from __future__ import annotations

from threading import Event, Semaphore
from typing import Any

import stomp

from benchmarks.job import HOST, USER, WINDOW, Job
from benchmarks.report import Stopwatch
from benchmarks.stomp_job import PROPERTIES, prefetch_of

_LIMIT = 60.0
"""
Seconds to wait for the end of a job.
"""


class Published(stomp.ConnectionListener):  # type: ignore[misc]  # it has no types
    """Counts receipts, and makes room in the window."""

    def __init__(self, job: Job) -> None:
        self.room = Semaphore(job.window)
        self.done = Event()
        self._left = job.messages

    def on_receipt(self, frame: Any) -> None:
        self._left -= 1
        self.room.release()
        if self._left == 0:
            self.done.set()


class Acking(stomp.ConnectionListener):  # type: ignore[misc]  # it has no types
    """Acks each message in the thread that read it."""

    def __init__(self, count: int, connection: Any) -> None:
        self.done = Event()
        self._left = count
        self._connection = connection

    def on_message(self, frame: Any) -> None:
        self._connection.ack(frame.headers["ack"])
        self._left -= 1
        if self._left == 0:
            self.done.set()


def publish(job: Job, connection: Any) -> None:
    """Publish with receipts, 200 in flight."""
    listener = Published(job)
    connection.set_listener("", listener)
    bodies = job.bodies()
    watch = Stopwatch()
    for number, body in enumerate(bodies):
        listener.room.acquire()
        connection.send(job.queue, body, headers=PROPERTIES, receipt=str(number))
    assert listener.done.wait(_LIMIT)
    watch.report(job.messages)


def consume(job: Job, connection: Any) -> None:
    """Consume, and ack each message as it arrives."""
    listener = Acking(job.messages, connection)
    connection.set_listener("", listener)
    headers = {prefetch_of(job): str(WINDOW)}
    watch = Stopwatch()
    connection.subscribe(job.queue, "1", "client-individual", headers)
    assert listener.done.wait(_LIMIT)
    watch.report(job.messages)


MODES = {"confirm": publish, "consume": consume}


def main() -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    connection = stomp.Connection12([(HOST, job.port)], auto_decode=False, vhost="/")
    connection.connect(USER, USER, wait=True)
    MODES[job.mode](job, connection)
    connection.disconnect(receipt="bye")


if __name__ == "__main__":
    main()
