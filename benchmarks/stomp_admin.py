"""
The queue of an ActiveMQ that a program finds, and what it left there.
"""

from __future__ import annotations

from benchmarks.job import Job
from benchmarks.stomp_job import DESTINATIONS, PROPERTIES
from tests.stomp_raw import QUIET, Raw, encode

_DESTINATION = DESTINATIONS["ActiveMQ"]


class ActiveMQAdmin:
    """Fills and empties it by connections of its own."""

    def __init__(self, port: int) -> None:
        self._port = port

    def version(self) -> str:
        """What the broker says it is."""
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
        Compare what is in the queue with what has to be; it is empty then.

        @raise AssertionError: the program did not do what it should.
        """
        expected = job.messages if job.mode.startswith("confirm") else 0
        found = self._drain()
        assert found == expected, f"{found} messages, not {expected}, with {job}"

    def _drain(self) -> int:
        with Raw(self._port) as raw:
            raw.subscribe(_DESTINATION, ack="auto")
            found = len(raw.inbox)
            while raw.next_frame_within(QUIET) is not None:
                found += 1
        return found


def _headers(body: bytes) -> dict[str, object]:
    return {**PROPERTIES, "destination": _DESTINATION, "content-length": len(body)}
