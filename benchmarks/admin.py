"""
Prepare the queue for a program, and check it afterwards.
"""

from __future__ import annotations

from time import monotonic, sleep
from types import TracebackType
from typing import Any

from amqp import Connection, Message

from benchmarks.job import HOST, PROPERTIES, Job

QUEUE = "bench"


class Admin:
    """
    A connection to RabbitMQ that fills and checks the queue; a context manager.

    @param patience: seconds to wait until the queue has the expected number of
        messages.
    """

    def __init__(self, port: int, patience: float = 10.0) -> None:
        self.patience = patience
        self._connection = Connection(f"{HOST}:{port}")
        self._connection.connect()
        self._channel: Any = self._connection.channel()
        self._channel.queue_declare(QUEUE, durable=True, auto_delete=False)

    def purge(self) -> None:
        """Empty the queue."""
        self._channel.queue_purge(QUEUE)

    def prepare(self, job: Job) -> None:
        """Empty the queue, and fill it if the job consumes."""
        self.purge()
        if job.mode.startswith("consume"):
            for body in job.bodies():
                message = Message(body, application_headers={}, **PROPERTIES)
                self._channel.basic_publish(message, routing_key=QUEUE)
            self._expect(job.messages, job)

    def check(self, job: Job) -> None:
        """
        Compare the number of messages in the queue with the expected one.

        @raise AssertionError: they differ: the program did not do its job.
        """
        expected = job.messages if job.mode.startswith(("publish", "confirm")) else 0
        self._expect(expected, job)

    def _expect(self, expected: int, job: Job) -> None:
        """Wait, as the broker may answer before it has counted the latest messages."""
        limit = monotonic() + self.patience
        while self._count() != expected and monotonic() < limit:
            sleep(0.01)
        found = self._count()
        assert found == expected, f"{found} messages, not {expected}, with {job}"

    def _count(self) -> int:
        declared = self._channel.queue_declare(QUEUE, passive=True)
        return int(declared.message_count)

    def delete(self) -> None:
        """Delete the queue."""
        self._channel.queue_delete(QUEUE)

    def __enter__(self) -> Admin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()
