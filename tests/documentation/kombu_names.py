"""
The public names of the installed Kombu, and what the table of them in the
documentation says.

A name is public if the C{__all__} of a module of Kombu has it, or if it is a class or
function without leading underscore that the module defines.  Public are also, of the
classes that have a section of their own in the table, the attributes without leading
underscore, and the parameters of their constructors and methods.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NamedTuple

from docutils import nodes

import txkombu
from tests.support.paths import DOCS
from tests.support.snippets import parse

PAGE: Final = DOCS / "reference" / "kombu-names.rst"
SAME: Final = "Same"
ABSENT: Final = "Not here"
EVERYWHERE: Final = "Everywhere"
"""The section of parameters that many methods have."""
INSIDES: Final = ("kombu.asynchronous.", "kombu.transport.")
"""The packages of which only the modules are listed: they are Kombu's own machinery."""
_VARIADIC: Final = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


class Row(NamedTuple):
    """
    One row of the table.

    @ivar section: the title of its section, the dotted name of a class or module.
    @ivar names: Kombu's names; C{name=} is a parameter of the constructor, and
        C{method(name=)} one of a method.
    @ivar here: C{"Same"}, C{"Not here"}, or our names.
    @ivar remark: the rest.
    """

    section: str
    names: list[str]
    here: list[str]
    remark: str


@cache
def rows() -> list[Row]:
    """Read the table."""
    found = []
    for section in parse(PAGE.read_text(encoding="utf-8")).findall(nodes.section):
        title = section[0].astext()
        tables = [each for each in section if isinstance(each, nodes.table)]
        for row in (row for each in tables for row in each.findall(nodes.row)):
            if not isinstance(row.parent, nodes.thead):
                theirs, here = row.findall(nodes.entry)
                found.append(Row(title, _literals(theirs), *_here(here)))
    return found


def _literals(node: nodes.Node) -> list[str]:
    return [each.astext() for each in node.findall(nodes.literal)]


def _here(entry: nodes.Node) -> tuple[list[str], str]:
    """Return what the first sentence of a second column names, and the rest."""
    text = entry.astext()
    for word in (SAME, ABSENT):
        if re.match(rf"{word}\b", text):
            return [word], text.removeprefix(word).strip(". \n")
    names: list[str] = []
    for part in (child for each in entry.findall(nodes.paragraph) for child in each):
        if isinstance(part, nodes.literal):
            names.append(part.astext())
        elif part.astext().strip() != ",":
            break
    return names, text


# --- Kombu's --------------------------------------------------------------------


@cache
def modules() -> dict[str, ModuleType | None]:
    """Return Kombu's modules by name; C{None} for those that are not looked into."""
    kombu = import_module("kombu")
    names = [
        "kombu",
        *(each.name for each in pkgutil.walk_packages(kombu.__path__, "kombu.")),
    ]
    return {
        name: None if name.startswith(INSIDES) else import_module(name)
        for name in names
    }


def names_in(module: Any) -> Iterator[str]:
    """Give the public names of a module that it does not only pass on."""
    name = module.__name__
    listed = list(getattr(module, "__all__", ()))
    own = [
        each
        for each, value in vars(module).items()
        if not each.startswith("_") and _is_code(value) and value.__module__ == name
    ]
    for each in dict.fromkeys([*listed, *own]):
        origin = getattr(getattr(module, each), "__module__", None) or name
        if origin == name or not str(origin).startswith("kombu"):
            yield each


def _is_code(value: object) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def members_of(kind: type) -> dict[str, Any]:
    """Return the public attributes of a class that Kombu has defined."""
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        if base.__module__.startswith("kombu"):
            for name, value in vars(base).items():
                if not name.startswith("_"):
                    found.setdefault(name, value)
    return found


def parameters_of(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters, but for C{self}, C{*args} and the like."""
    return [
        name
        for name, each in inspect.signature(function).parameters.items()
        if each.kind not in _VARIADIC and name != "self" and not name.startswith("_")
    ]


def names_of_class(kind: type) -> Iterator[str]:
    """Give the names that the section of a class has to have."""
    for name in [*parameters_of(kind), *_attributes_set_by(kind)]:
        yield f"{name}="
    yield from members_of(kind)


def _attributes_set_by(kind: Any) -> list[str]:
    """Return what the class of an entity takes by C{attrs}, beside its parameters."""
    known = parameters_of(kind)
    return [name for name, _ in getattr(kind, "attrs", ()) if name not in known]


def dotted(name: str) -> Any:
    """Return a module, or what is in one, by its dotted name."""
    try:
        return import_module(name)
    except ImportError:
        module, _, last = name.rpartition(".")
        return getattr(dotted(module), last)


# --- ours -----------------------------------------------------------------------


def ours(name: str, about: Any) -> Any:
    """
    Return what one of our names in the table stands for.

    @param name: relative to the class or module that the row is about, to C{txkombu},
        or to one of its modules; perhaps with a call, C{name()}, or as a parameter.
    @param about: our counterpart of the section.
    @raise LookupError: there is no such name.
    """
    plain, _, parameter = name.partition("(")
    parameter = parameter.rstrip(")")
    if plain.endswith("="):
        plain, parameter = "", plain
    found = about if not plain else _named(plain, about)
    for each in re.findall(r"(\w+)=", parameter):
        if not callable(found) or each not in inspect.signature(found).parameters:
            raise LookupError(f"{plain or about} has no parameter {each!r}")
    return found


def _named(plain: str, about: Any) -> Any:
    for start in (about, txkombu):
        found = start
        try:
            for part in plain.split("."):
                found = _attribute(found, part)
        except LookupError:
            continue
        return found
    raise LookupError(f"there is no {plain!r} in {about!r} or in txkombu")


def _attribute(owner: Any, name: str) -> Any:
    if hasattr(owner, name):
        return getattr(owner, name)
    if inspect.isclass(owner) and name in _set_by_constructor(owner):
        return name
    if inspect.ismodule(owner):
        try:
            return import_module(f"{owner.__name__}.{name}")
        except ImportError:
            pass
    raise LookupError(name)


def _set_by_constructor(kind: type) -> set[str]:
    """Return the attributes that the constructors of a class and its bases set."""
    return {
        name
        for base in kind.__mro__
        if inspect.isfunction(vars(base).get("__init__"))
        for name in re.findall(
            r"self\.(\w+)\b[^=\n]*=", inspect.getsource(vars(base)["__init__"])
        )
    }


def takes(function: Any, parameter: str) -> bool:
    """Return whether a function, or a class, has a parameter, or takes any."""
    if not callable(function):
        return False
    parameters = inspect.signature(function).parameters
    return parameter in parameters or any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()
    )
