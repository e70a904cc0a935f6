"""What a program starts beside its service: the endpoint of C{--http}, and systemd."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.python import usage

from ..configuration.endpoint import checked_endpoint
from ..monitoring import MonitoringService
from ..monitoring.service import check_installed
from ..service import ConsumerService
from .systemd import SystemdNotifier


def endpoint_given(text: str | None, named: str = "--http") -> str | None:
    """
    Return the endpoint that C{--http} names, if it can be one.

    @param named: what names it, for the error.
    @raise UsageError: it cannot, or a library is not installed.
    """
    if text is None:
        return None
    try:
        check_installed()
        return checked_endpoint(text)
    except (ImportError, ValueError) as error:
        raise usage.UsageError(f"{named}: {error}") from None


def companions_of(
    service: ConsumerService,
    http: str | None,
    reactor: Any = None,
    environment: Mapping[str, str] = os.environ,
) -> list[Service]:
    """
    Make what is to be started after a service, and stopped with it.

    @param http: the endpoint of health and metrics, or None.
    @param reactor: the reactor; by default the global one.
    @param environment: has what systemd tells.
    """
    made: list[Service] = []
    if http is not None:
        made.append(MonitoringService(service, http, reactor))
    notifier = SystemdNotifier.of(service, environment, reactor)
    if notifier is not None:
        made.append(notifier)
    return made


class Together(MultiService):
    """
    A service and its companions.

    @param service: the service, which is started first.
    @param companions: the others.
    """

    def __init__(self, service: ConsumerService, companions: list[Service]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's is not annotated
        for each in (service, *companions):
            each.setServiceParent(self)
