"""
Prepare the queue of an ActiveMQ for a program, and check it afterwards.
"""

from __future__ import annotations

from itertools import takewhile
from time import monotonic, sleep

from benchmarks.job import Job
from benchmarks.stomp_job import DESTINATIONS, PROPERTIES
from tests.support.raw_stomp_client import LIMIT, QUIET, Raw, RawFrame, encode

_DESTINATION = DESTINATIONS["ActiveMQ"]


class ActiveMQAdmin:
    """
    Fills and empties the queue, over its own connections.

    @param patience: seconds to wait until the queue is empty, if it should be.
    """

    def __init__(self, port: int, patience: float = 10.0) -> None:
        self.patience = patience
        self._port = port

    def version(self) -> str:
        """Return the version that the broker names."""
        with Raw(self._port) as raw:
            return raw.greeting["server"].partition("/")[2]

    def prepare(self, job: Job) -> None:
        """Empty the queue, and fill it if the job consumes."""
        self._drain()
        if job.mode.startswith("consume"):
            with Raw(self._port) as raw:
                *bodies, last = job.bodies()
                for body in bodies:
                    raw.write(encode("SEND", _headers(body), body))
                raw.request("SEND", _headers(last), last)

    def check(self, job: Job) -> None:
        """
        Compare the number of messages in the queue with the expected one, and empty it.

        @raise AssertionError: they differ: the program did not do its job.
        """
        expected = job.messages if job.mode.startswith("confirm") else 0
        found = self._drain(expected) if expected else self._left()
        assert found == expected, f"{found} messages, not {expected}, with {job}"

    def _drain(self, expected: int = 0) -> int:
        with Raw(self._port) as raw:
            raw.subscribe(_DESTINATION, ack="auto")
            found = len(raw.inbox)
            while raw.next_frame_within(LIMIT if found < expected else QUIET):
                found += 1
        return found

    def _left(self) -> int:
        """
        Return how many messages stay in the queue; wait for those that are still being
        acked.
        """
        limit = monotonic() + self.patience
        while (found := self._seen()) and monotonic() < limit:
            sleep(0.05)
        return found

    def _seen(self) -> int:
        """Return how many messages a browser sees: all, up to some hundreds."""
        with Raw(self._port) as raw:
            raw.subscribe(_DESTINATION, ack="auto", browser="true")
            frames = iter(raw.message, None)
            return sum(1 for _ in takewhile(_is_no_end, frames))


def _is_no_end(frame: RawFrame) -> bool:
    return frame.headers.get("browser") != "end"


def _headers(body: bytes) -> dict[str, object]:
    return {**PROPERTIES, "destination": _DESTINATION, "content-length": len(body)}
