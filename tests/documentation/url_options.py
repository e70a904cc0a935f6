"""
Write the tables of schemes and options into docs/reference/urls.rst: C{python -m
tests.documentation.url_options}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from benchmarks import tables
from tests.documentation.entities import list_table
from tests.support.paths import DOCS
from txkombu.url.parameters import Parameters, TLSOptions
from txkombu.url.parser import _OPTIONS, _TLS_OPTIONS, _WORDS
from txkombu.url.schemes import SCHEMES, Scheme

PAGE: Final = DOCS / "reference" / "urls.rst"


@attrs.frozen
class Option:
    """
    What the code does not tell of an option.

    @ivar kind: its type and unit.
    @ivar meaning: one sentence.
    @ivar argument: where a program gives the same.
    @ivar unit: how many of it are one of what L{Parameters} has.
    @ivar without: transports on which it has no effect.
    """

    kind: str
    meaning: str
    argument: str
    unit: int = 1
    without: tuple[str, ...] = ()


def _of_tls(kind: str, meaning: str, argument: str) -> Option:
    return Option(kind, meaning, f"``tls=TLSOptions({argument}=…)``")


OPTIONS: Final[Mapping[str, Option]] = {
    "heartbeat": Option(
        "number, seconds",
        "how often each side shows that it lives; 0 for never",
        "``heartbeat``",
        without=("memory",),
    ),
    "connection_timeout": Option(
        "number, milliseconds",
        "for TCP, TLS and login together",
        "``connect_timeout``, seconds",
        unit=1000,
    ),
    "channel_max": Option(
        "whole number",
        "how many channels at most; 0 leaves it to the broker",
        "in the URL only",
        without=("memory", "stomp"),
    ),
    "auth_mechanism": Option(
        "``PLAIN`` or ``EXTERNAL``",
        "how to log in; not given, it is ``PLAIN``. STOMP refuses ``EXTERNAL``",
        "in the URL only",
        without=("memory",),
    ),
    "name": Option(
        "text",
        "how the broker lists the connection; a service makes one up",
        "``name``",
        without=("memory", "stomp"),
    ),
    "max_message_size": Option(
        "whole number, bytes",
        "what the body of a message from the broker may have; the session ends where a "
        "larger one is announced",
        "``max_message_size``",
        without=("memory",),
    ),
    "wait_for_broker": Option(
        "``true`` or ``false``",
        "whether a first attempt that fails is made again; not given, only for a "
        "service",
        "``wait_for_broker``",
    ),
    "dialect": Option(
        "``rabbitmq`` or ``activemq``",
        "the broker to expect, if it hides what it is",
        "in the URL only",
    ),
    "cacertfile": _of_tls(
        "path, PEM",
        "the authorities to trust; not given, those of the platform",
        "cacertfile",
    ),
    "certfile": _of_tls("path, PEM", "the certificate of this client", "certfile"),
    "keyfile": _of_tls(
        "path, PEM", "its key; not given, it is in ``certfile``", "keyfile"
    ),
    "password": _of_tls("text", "the passphrase of that key; never shown", "password"),
    "verify": _of_tls(
        "``verify_peer`` or ``verify_none``",
        "whether to check the broker's certificate",
        "verify",
    ),
    "server_name_indication": _of_tls(
        "text",
        "the name to ask for and check, not the host; ``disable`` for neither",
        "server_name",
    ),
}


def families() -> dict[str, list[Scheme]]:
    """Return the schemes of each transport, by the name of the first."""
    found: dict[str, list[Scheme]] = {}
    for scheme in SCHEMES.values():
        found.setdefault(scheme.target, []).append(scheme)
    return {each[0].name: each for each in found.values()}


def takers(option: str) -> list[str]:
    """Return the schemes that take an option, and to which it means something."""
    known = OPTIONS[option]
    return [
        scheme.name
        for family, schemes in families().items()
        for scheme in schemes
        if family not in known.without
        and (option not in _TLS_OPTIONS or scheme.tls is not False)
        and (option in {**_OPTIONS, **_TLS_OPTIONS} or option in scheme.own_options())
    ]


def shown_takers(option: str) -> str:
    """Return those schemes in few words."""
    found = takers(option)
    if len(found) == len(SCHEMES):
        return "all"
    if option in _TLS_OPTIONS:
        return "those with TLS"
    names = [each for each in families() if each in found]
    missing = [each for each in families() if each not in found]
    if len(names) <= len(missing):
        return ", ".join(f"``{each}``" for each in names)
    return "not " + ", ".join(f"``{each}``" for each in missing)


def default_of(option: str) -> str:
    """Return the default in the unit of the URL."""
    if option in _TLS_OPTIONS:
        value = getattr(TLSOptions(), _TLS_OPTIONS[option])
    elif option in _OPTIONS:
        fields = {each.name: each.default for each in attrs.fields(Parameters)}
        value = fields[_OPTIONS[option]]
    else:
        value = None
    if value is None or value == "":
        return "not given"
    for word, meant in _WORDS.get(option, {}).items():
        if value is meant:
            return f"``{word}``"
    return f"{int(value * OPTIONS[option].unit):,}"


def options() -> str:
    """Return the table of options."""
    rows = [
        [
            f"``{name}``",
            OPTIONS[name].argument,
            OPTIONS[name].kind,
            default_of(name),
            shown_takers(name),
            OPTIONS[name].meaning,
        ]
        for name in OPTIONS
    ]
    head = ["option", "argument", "type, unit", "default", "schemes", "meaning"]
    return list_table(head, [18, 16, 16, 12, 12, 26], rows)


def schemes() -> str:
    """Return the table of schemes."""
    rows = [
        [
            f"``{each.name}``",
            str(each.port or "none"),
            "yes" if each.tls else "no",
            f"``txkombu[{each.extra}]``" if each.extra else "nothing more",
        ]
        for each in SCHEMES.values()
    ]
    head = ["scheme", "default port", "TLS", "needs"]
    return list_table(head, [30, 20, 20, 30], rows)


if __name__ == "__main__":
    tables.write("schemes", schemes(), PAGE)
    tables.write("options", options(), PAGE)
