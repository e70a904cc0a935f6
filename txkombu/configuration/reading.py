"""Read a configuration file, and check all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .document import Document, read_document
from .plan import Plan, plan_of
from .service_file import ServiceFile
from .structure import structured
from .values import MAKERS


def read_file(file: str) -> Plan:
    """
    Read a file, import its handlers, and make all that it describes; connect nothing.

    @param file: its path.
    @raise ConfigurationError: it is wrong; the text has a line for each fault.
    """
    return plan_of_document(read_document(file))


def plan_of_document(document: Document) -> Plan:
    """
    Make what a file describes; connect nothing.

    @param document: the file.
    @raise ConfigurationError: it is wrong; the text has a line for each fault.
    """
    found, problems = structured(_written_out(document.value), ServiceFile, MAKERS)
    if found is None:
        raise document.error(*problems)
    return plan_of(document, found)


def _written_out(value: Mapping[str, Any]) -> dict[str, Any]:
    """Write out what has a short form: a broker that is a URL, C{publisher: true}."""
    full = dict(value)
    if "broker" in full:
        full["broker"] = _broker(full["broker"])
    if "publisher" in full:
        publisher = full["publisher"]
        if publisher is None or publisher is True:
            full["publisher"] = {}
        elif publisher is False:
            full["publisher"] = None
        elif isinstance(publisher, dict) and "broker" in publisher:
            broker = _broker(publisher["broker"])
            full["publisher"] = {**publisher, "broker": broker}
    return full


def _broker(value: Any) -> Any:
    return {"url": value} if isinstance(value, str | list) else value
