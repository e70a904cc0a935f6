"""
Tell systemd how a service is, for units of C{Type=notify} with a watchdog.

systemd names a datagram socket in the environment: see C{sd_notify(3)}.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from .._util.steady_clock import steady
from ..service import ConsumerService
from ..service.health import ServiceHealth

SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"
WATCHED: Final = "WATCHDOG_PID"

_INTERVAL: Final = 5.0
"""Seconds between two looks at the service, without a watchdog."""


class SystemdNotifier(Service):
    """
    Tells systemd that the service consumes, what it does now, and that it stops; and
    feeds the watchdog while the reactor turns.

    @param service: the service.
    @param address: the name of systemd's socket.
    @param watchdog: seconds after which systemd takes it for dead; 0 for never.
    @param reactor: the reactor; by default the global one.
    """

    _log = Logger()

    def __init__(
        self,
        service: ConsumerService,
        address: str,
        watchdog: float = 0.0,
        reactor: Any = None,
    ) -> None:
        self._service = service
        # Linux names sockets that are in no folder by a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._feeds = watchdog > 0
        self._interval = min(watchdog / 2, _INTERVAL) if self._feeds else _INTERVAL
        if reactor is None:
            from twisted.internet import reactor
        self._looking = _SteadyLoop(self._look, reactor)
        self._status = ""
        self._owed = ""
        self._failed = False

    @classmethod
    def of(
        cls, service: ConsumerService, environment: Mapping[str, str], reactor: Any
    ) -> SystemdNotifier | None:
        """Make one as the environment says; return None if systemd does not ask."""
        address = environment.get(SOCKET, "")
        if not address.startswith(("/", "@")):
            return None
        text = environment.get(WATCHDOG, "")
        seconds = int(text) / 1e6 if text.isdecimal() else 0.0
        if environment.get(WATCHED, str(os.getpid())) != str(os.getpid()):
            seconds = 0.0
        return cls(service, address, seconds, reactor)

    def startService(self) -> None:
        """Begin to tell."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        started = self._service.when_started()
        started.addCallbacks(lambda _: self._ready(), lambda _: None)
        looking = self._looking.start(self._interval)
        looking.addErrback(self._look_failed)

    def _ready(self) -> None:
        self._owed = "READY=1"
        self._tell_now("")

    def _look(self) -> None:
        self._tell_now("WATCHDOG=1" if self._feeds else "")

    def _tell_now(self, fed: str) -> None:
        """Tell what is owed, and again with the next look if that fails."""
        if self._tell(self._owed, fed, self._new_status()):
            self._owed = ""
        else:
            self._status = ""

    def _look_failed(self, failure: object) -> None:
        self._log.error("Telling systemd ended: {failure}", failure=failure)

    def _new_status(self) -> str:
        """Return what to tell if it is not what was told last."""
        if not self.running:
            return ""  # it was told that it stops
        status = status_of(self._service.glance())
        if status == self._status:
            return ""
        self._status = status
        return f"STATUS={status}"

    def stopService(self) -> Deferred[None]:
        """
        Tell that it stops; feed the watchdog until the service has stopped.

        @return: fires then; never fails.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        self._owed = ""
        self._tell("STOPPING=1", "STATUS=stopping")
        return self._service.when_stopped().addCallback(lambda _: self._end())

    def _end(self) -> None:
        if self._looking.running:
            self._looking.stop()

    def _tell(self, *lines: str) -> bool:
        """
        Send lines to systemd; log the first failure, and go on.

        @return: whether systemd has them.
        """
        text = "\n".join(filter(None, lines))
        if not text:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
                told.setblocking(False)
                told.sendto(text.encode(errors="replace"), self._address)
        except OSError as error:
            if not self._failed:
                self._log.warn("systemd cannot be told: {error}", error=str(error))
            self._failed = True
            return False
        return True


class _SteadyLoop(LoopingCall):
    """A loop by the monotonic clock: setting the other one must not stop it."""

    def __init__(self, call: Callable[[], None], reactor: Any) -> None:
        super().__init__(call)
        self.clock = steady(reactor)


def status_of(health: ServiceHealth) -> str:
    """Return what C{systemctl status} shows: one line."""
    if health.reasons:
        return "; ".join(health.reasons)
    count = len(health.consumers)
    names = ", ".join(each.name for each in health.consumers if each.stuck)
    stuck = f"; stuck: {names}" if names else ""
    work = "1 consumer consumes" if count == 1 else f"{count} consumers consume"
    return work + stuck
