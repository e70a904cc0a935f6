"""Read a configuration file, and check all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .document import read_document
from .plan import Plan, plan_of
from .service_file import ServiceFile
from .structure import structured
from .values import MAKERS


def read_file(
    file: str, broker: str | None = None, password_file: str | None = None
) -> Plan:
    """
    Read a file, import its handlers, and make all that it describes; connect nothing.

    @param file: its path.
    @param broker: a URL, or several with C{;} between, instead of the file's.
    @param password_file: the path of a file with the password, instead of the file's.
    @raise ConfigurationError: it is wrong; the text has a line for each fault.
    """
    document = read_document(file)
    value = _written_out(document.value)
    replaced = {"url": broker, "password": password_file and {"file": password_file}}
    given = {name: each for name, each in replaced.items() if each}
    section = value.get("broker", {})
    if given and isinstance(section, dict):
        value["broker"] = {**section, **given}
    found, problems = structured(value, ServiceFile, MAKERS)
    if found is None:
        raise document.error(*problems)
    return plan_of(document, found)


def _written_out(value: Mapping[str, Any]) -> dict[str, Any]:
    """
    Write out what has a short form: a broker that is a URL, C{publisher: true}, and
    exchanges and queues that are named only.
    """
    full = dict(value)
    for entities in ("exchanges", "queues"):
        if isinstance(full.get(entities), dict):
            named = full[entities].items()
            full[entities] = {name: each or {} for name, each in named}
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
