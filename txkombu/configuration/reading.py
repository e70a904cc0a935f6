"""Read a configuration file, and check all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from functools import cache
from typing import Any, Final

from cattrs import Converter

from .document import Document, read_document
from .errors import ConfigurationError, Path, Problem
from .plan import Plan, plan_of
from .service_file import ServiceFile
from .structure import converter_with, structured
from .values import MAKERS

_LISTED: Final = ("exchanges", "queues", "consumers")
_STAND_INS: Final[Mapping[str, Mapping[str, Any]]] = {
    "broker": {"url": "memory://"},
    "publisher": {},
    "exchanges": {"no_declare": True},
    "queues": {"no_declare": True},
    "consumers": {"handler": ""},
}
"""What takes the place of a section, or of one in a list or mapping of them."""


def read_file(
    file: str,
    broker: str | None = None,
    password_file: str | None = None,
    once: bool = False,
) -> Plan:
    """
    Read a file, import its handlers, and make all that it describes; connect nothing.

    @param file: its path.
    @param broker: a URL, or several with C{;} between, instead of the file's.
    @param password_file: the path of a file with the password, instead of the file's.
    @param once: whether a broker that cannot be used is an error at once, unless the
        file says otherwise.
    @raise ConfigurationError: it is wrong; the text has a line for each fault.
    """
    document = read_document(file)
    value = _written_out(document.value)
    replaced = {"url": broker, "password": password_file and {"file": password_file}}
    given = {name: each for name, each in replaced.items() if each}
    section = value.get("broker", {})
    if isinstance(section, dict) and (section or given):
        first = {"wait_for_broker": False} if once else {}
        value["broker"] = {**first, **section, **given}
    found, problems = structured(value, ServiceFile, _converter())
    if found is None:
        raise document.error(*problems, *_of_other_sections(document, value, problems))
    return plan_of(document, found)


@cache
def _converter() -> Converter:
    """Make the converter once, as that takes longer than a file."""
    return converter_with(MAKERS)


def _of_other_sections(
    document: Document, value: dict[str, Any], problems: Iterable[Problem]
) -> list[Problem]:
    """
    Return what is wrong with the sections whose keys and types are right, so that it is
    told with what is wrong with the others.
    """
    wrong = {_section(each.path) for each in problems}
    if not wrong.isdisjoint((name,) for name in _LISTED):
        return []  # half of the rest would only miss what is in these
    found, _ = structured(_with_stand_ins(value, wrong), ServiceFile, _converter())
    if found is None:
        return []
    try:
        plan_of(document, found)
    except ConfigurationError as error:
        return [each for each in error.problems if _section(each.path) not in wrong]
    return []


def _section(path: Path) -> Path:
    return path[:2] if path[:1] and path[0] in _LISTED else path[:1]


def _with_stand_ins(value: Mapping[str, Any], wrong: Iterable[Path]) -> dict[str, Any]:
    """Replace sections that are wrong by what others can refer to."""
    made = {"broker": _STAND_INS["broker"], **value}
    for first, *rest in wrong:
        name = str(first)
        if rest:
            made[name] = copy(made[name])
            made[name][rest[0]] = _STAND_INS[name]
        elif name in _STAND_INS:
            made[name] = _STAND_INS[name]
        else:
            made.pop(name, None)
    return made


def _written_out(value: Mapping[str, Any]) -> dict[str, Any]:
    """
    Write out what has a short form: a broker that is a URL, C{publisher: true}, and
    exchanges and queues that are named only.
    """
    full = dict(value)
    for entities in ("exchanges", "queues"):
        if isinstance(full.get(entities), dict):
            named = full[entities].items()
            full[entities] = {
                name: {} if each is None else each for name, each in named
            }
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
