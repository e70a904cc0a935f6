"""
Write docs/reference/names.rst, the list of all public names: C{python -m
tests.documentation.names}.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from benchmarks import tables
from tests.documentation import docstrings
from tests.documentation.entities import described_in, list_table, pages
from tests.packaging.test_layout import PUBLIC
from tests.support.paths import DOCS

PAGE: Final = DOCS / "reference" / "names.rst"
_SENTENCE: Final = re.compile(r"(?:\d+[.:] )?(.+?[.;:])(?:\s|$)")

VALUES: Final[Mapping[str, str]] = {
    "txkombu.Connection": "Another name of ``BrokerConnection``, as in Kombu.",
    "txkombu.__version__": "The version of this package, a ``str``.",
    "txkombu.interfaces.Properties": "The type of a message's properties by name.",
    "txkombu.policy.FailurePolicy": "The type of functions that decide on a failure.",
    "txkombu.policy.default": "The policy that a consumer has by default.",
    "txkombu.policy.halt": "Requeue the message and end its consumer.",
    "txkombu.serialization.registry": "The ``Registry`` that all connections share.",
    "txkombu.service.ConsumerFactory": "The type of functions that make a consumer.",
    "txkombu.simple.Empty": "What ``SimpleQueue.get`` raises if no message comes.",
    "txkombu.transport.ENTRY_POINT_GROUP": "Where other packages register transports.",
    "txkombu.transport.memory.RouteFunction": "The type of functions that route.",
    "txkombu.url.NO_SERVER_NAME": "A ``server_name`` that is neither sent nor checked.",
}
"""What is said of names that have no docstring of their own."""


def sections() -> dict[str, str]:
    """Return what has a section in the reference, each with its page."""
    return {
        path: page.name
        for page in pages()
        for path in described_in(page.read_text(encoding="utf-8"))
    }


def first_sentence(path: str, found: Any) -> str:
    """
    Return what a name is.

    @param path: the name, with its module.
    """
    if path in VALUES:
        return VALUES[path]
    text = docstrings.read(inspect.getdoc(found)).text
    sentence = _SENTENCE.match(text.replace("\n\n", " "))
    if not sentence:
        raise LookupError(f"{path} has no docstring")
    said = sentence.group(1)[:-1]
    return f"{said[:1].upper()}{said[1:]}."


def where_of(module: str, name: str, known: Mapping[str, str]) -> str:
    """Return the link to the section of a name; the API reference has the others."""
    if module == "txkombu.exceptions":
        return "`Errors <errors.rst>`__"
    for path, page in known.items():
        if path.rpartition(".")[2] == name:
            return f"`section <{page}#{name.lower().replace('_', '-')}>`__"
    return "API"


def names() -> str:
    """Return a table for each public module."""
    known, parts = sections(), []
    for module, listed in PUBLIC.items():
        found = import_module(module)
        rows = [
            [
                f"``{name}``",
                first_sentence(f"{module}.{name}", getattr(found, name)),
                where_of(module, name, known),
            ]
            for name in listed.split()
        ]
        table = list_table(["name", "what it is", "more"], [28, 54, 18], rows)
        parts.append(f"{module}\n{'-' * len(module)}\n\n{table}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    tables.write("names", names(), PAGE)
