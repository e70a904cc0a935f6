"""What the endpoint answers: C{/live}, C{/ready}, C{/metrics} and C{/status}."""

from __future__ import annotations

import json
from collections.abc import Callable
from platform import python_version
from typing import Any, Final

import twisted
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import (
    NOT_ALLOWED,
    NOT_FOUND,
    OK,
    SERVICE_UNAVAILABLE,
)
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from .. import __version__
from .._util.steady_clock import steady
from ..service import ConsumerService
from ..service.health import ConnectionHealth, ConsumerHealth, ServiceHealth
from .metrics import CONTENT_TYPE, Metrics

TEXT: Final = b"text/plain; charset=utf-8"
JSON: Final = b"application/json"
PATHS: Final = (b"live", b"ready", b"metrics", b"status")

_IDLE: Final = 60.0
"""Seconds after which a connection without requests is closed."""

Answer = tuple[int, bytes, str | bytes]
"""A status, a content type, and a body."""


class Page(Resource):
    """
    Answers GET and HEAD, whatever is behind its path not.

    @param answer: returns what to answer.
    """

    def __init__(self, answer: Callable[[], Answer]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        self._answer = answer

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Return the page of paths that there are not."""
        return Page(_not_found)

    def render(self, request: Request) -> bytes:
        """Answer a request."""
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"server", b"txkombu")
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            status, kind, body = _text(NOT_ALLOWED, ["only GET and HEAD"])
        else:
            status, kind, body = self._answer()
        request.setResponseCode(status)
        request.setHeader(b"content-type", kind)
        encoded = body.encode() if isinstance(body, str) else body
        request.setHeader(b"content-length", b"%d" % len(encoded))
        return b"" if request.method == b"HEAD" else encoded


class BodilessRequest(Request):
    """A request whose body, if it has one, is not kept."""

    def handleContentChunk(self, data: bytes) -> None:
        """Do nothing."""


class QuietSite(Site):
    """A site that logs no requests, and shows nobody its errors."""

    requestFactory = BodilessRequest
    noisy = False
    displayTracebacks = False

    def log(self, request: object) -> None:
        """Do nothing: probes come every few seconds."""


class Answers:
    """
    What is answered of a service.

    @param service: the service.
    @param metrics: its metrics.
    @param clock: the reactor.
    """

    def __init__(
        self, service: ConsumerService, metrics: Metrics, clock: IReactorTime
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._reactor = clock
        self._clock = steady(clock)
        self._since = self._clock.seconds()

    def site(self) -> Site:
        """Return the site, which logs no requests."""
        root = Page(_not_found)
        for name in PATHS:
            root.putChild(name, Page(getattr(self, name.decode())))
        return QuietSite(root, timeout=_IDLE, reactor=self._reactor)  # type: ignore[no-untyped-call]  # Twisted's is not annotated

    def live(self) -> Answer:
        """Tell whether the process should go on."""
        if self._service.health.live:
            return _text(OK, ["live"])
        return _text(SERVICE_UNAVAILABLE, self._service.health.reasons)

    def ready(self) -> Answer:
        """Tell whether the service does its work."""
        health = self._service.health
        stuck = [
            f"consumer {each.name} is stuck: all that it may hold waits for a retry"
            for each in health.consumers
            if each.stuck
        ]
        if health.reasons:
            return _text(SERVICE_UNAVAILABLE, [*health.reasons, *stuck])
        return _text(OK, ["ready", *stuck])

    def metrics(self) -> Answer:
        """Tell all counts."""
        return OK, CONTENT_TYPE, self._metrics.text()

    def status(self) -> Answer:
        """Tell everything that is known."""
        told = {
            "versions": {
                "txkombu": __version__,
                "twisted": twisted.__version__,
                "python": python_version(),
            },
            "uptime": round(self._clock.seconds() - self._since, 3),
            **status_of(self._service.health),
        }
        return OK, JSON, json.dumps(told, indent=2) + "\n"


def status_of(health: ServiceHealth) -> dict[str, Any]:
    """Return what C{/status} tells of a service."""
    publisher = health.publisher
    return {
        "running": health.running,
        "halted": _shown(health.halted),
        "ready": not health.reasons,
        "reasons": health.reasons,
        "connection": _of_connection(health.connection),
        "consuming": health.consuming,
        "consumers": [_of_consumer(each) for each in health.consumers],
        "publisher": None
        if publisher is None
        else {
            "connection": _of_connection(publisher.connection),
            "unconfirmed": publisher.unconfirmed,
        },
        "last_error": _shown(health.last_error),
    }


def _of_connection(health: ConnectionHealth) -> dict[str, Any]:
    return {
        "name": health.name,
        "broker": health.broker,
        "state": health.state.value,
        "connected": health.connected,
        "blocked": health.blocked_reason or None,
        "reconnects": health.reconnects,
        "last_error": _shown(health.last_error),
    }


def _of_consumer(health: ConsumerHealth) -> dict[str, Any]:
    return {
        "name": health.name,
        "queues": list(health.queues),
        "consuming": health.consuming,
        "running": health.running,
        "retrying": health.retrying,
        "stuck": health.stuck,
        "last_delivery": health.last_delivery,
        "last_error": _shown(health.last_error),
    }


def _shown(error: Exception | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"


def _text(status: int, lines: list[str]) -> Answer:
    return status, TEXT, "".join(f"{line}\n" for line in lines)


def _not_found() -> Answer:
    known = ", ".join(f"/{name.decode()}" for name in PATHS)
    return _text(NOT_FOUND, [f"there are {known}"])
