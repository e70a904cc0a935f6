"""
stomp.py, a STOMP client that reads in its own thread, as a peer.
"""

from __future__ import annotations

from queue import SimpleQueue
from types import TracebackType
from typing import Any

import stomp
from typing_extensions import Self

from tests.support.broker_process import HOST

LIMIT = 30.0
"""
Seconds to wait for an expected frame.
"""
USER = "guest"


class StompPy:
    """One connection of stomp.py.  Its methods block until the broker answers."""

    def __init__(self, port: int) -> None:
        self._receipts: SimpleQueue[str] = SimpleQueue()
        self._messages: SimpleQueue[Any] = SimpleQueue()
        self._asked = 0
        self._connection = stomp.Connection12(
            [(HOST, port)], vhost="/", auto_decode=False, reconnect_attempts_max=1
        )
        self._connection.set_listener("", self)
        self._connection.connect(USER, USER, wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, destination: str, body: bytes | str, **headers: object) -> None:
        """Publish, and wait for the receipt."""
        self._connection.send(destination, body, headers=self._receipted(headers))
        self._wait()

    def subscribe(self, destination: str, **headers: object) -> None:
        """Subscribe, with acks if the headers say so, and wait for the receipt."""
        self._connection.subscribe(
            destination, "s", **self._receipted({"ack": "auto", **headers})
        )
        self._wait()

    def ack(self, frame: Any) -> None:
        """Ack a received message, and wait for the receipt."""
        self._connection.ack(frame.headers["ack"], **self._receipted({}))
        self._wait()

    def receive(self) -> Any:
        """
        Return the next MESSAGE: a frame with headers, and a body of bytes, or C{None}.

        @raise Empty: none arrived.
        """
        return self._messages.get(timeout=LIMIT)

    def close(self) -> None:
        """Disconnect, and wait until the thread has ended."""
        self._connection.disconnect(receipt="bye")
        thread = self._connection.transport.io_thread
        thread.join(LIMIT)
        assert not thread.is_alive()

    def _receipted(self, headers: dict[str, object]) -> dict[str, object]:
        self._asked += 1
        pairs = {name.replace("_", "-"): value for name, value in headers.items()}
        return {**pairs, "receipt": f"r{self._asked}"}

    def _wait(self) -> None:
        receipt = self._receipts.get(timeout=LIMIT)
        assert receipt == f"r{self._asked}", receipt

    # --- called in stomp.py's thread -----------------------------------------

    def on_message(self, frame: Any) -> None:
        """Handle a MESSAGE frame."""
        self._messages.put(frame)

    def on_receipt(self, frame: Any) -> None:
        """Handle a RECEIPT frame."""
        self._receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame: Any) -> None:
        """Handle an ERROR frame, which comes in place of the receipt."""
        self._receipts.put(str(frame.headers))
