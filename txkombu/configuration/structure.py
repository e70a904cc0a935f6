"""
Plain values as objects of attrs classes, by cattrs; all faults are found in one pass.

cattrs knows attrs, which Twisted has anyway; it is imported in a third of the time that
pydantic takes, and tells the path to each fault.  It would convert values where that is
possible, as by C{int("5")}; here it takes only what YAML says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any, Final, TypeVar, get_origin

import attrs
from cattrs import Converter
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from .._util.suggestions import did_you_mean, known_names
from .errors import Path, Problem

T = TypeVar("T")
Make = Callable[[Any], Any]
_Hook = Callable[[Any, Any], Any]

_PLAIN: Final[Mapping[type, tuple[tuple[type, ...], str]]] = {
    str: ((str,), "a text"),
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
}
_KINDS: Final[Mapping[type, str]] = {
    str: "a text",  # not shown, as it may be a password
    Mapping: "a mapping",
    list: "a list",
    date: "a date",
    bytes: "binary data",
}
IN_QUOTES: Final = "put a text in quotes"
_LIKE_TEXTS: Final = (bool, int, float, date)
"""What YAML makes of some texts: C{no}, C{010}, C{1.10}, C{2024-01-01}."""


class Wrong(ValueError):
    """A value is not one that is allowed; the text says which are."""


def structured(
    value: object, cls: type[T], converter: Converter
) -> tuple[T | None, list[Problem]]:
    """
    Make an object of plain values.

    @param cls: an attrs class.
    @param converter: what L{converter_with} has made.
    @return: the object, or None, and what is wrong.
    """
    try:
        return converter.structure(value, cls), []
    except Exception as error:
        return None, list(_problems(error, ()))


def must_be(words: str, found: object) -> Wrong:
    """
    Return the error for a value of a wrong type.

    @param words: what is allowed, such as C{"a list"}.
    """
    told = "nothing is there" if found is None else f"it is {described(found)}"
    wants_text = words.startswith("a text") and isinstance(found, _LIKE_TEXTS)
    return Wrong(f"must be {words}; {told}{f': {IN_QUOTES}' if wants_text else ''}")


def described(value: object) -> str:
    """Return what a value is; a text is not shown, as it may be a password."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    kinds = (words for kind, words in _KINDS.items() if isinstance(value, kind))
    return next(kinds, type(value).__name__)


def converter_with(makers: Mapping[Any, Make]) -> Converter:
    """
    Make what makes objects.

    @param makers: for further types of attributes, what makes them of a plain value;
        the text of an exception is the fault.
    """
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind in _PLAIN:
        converter.register_structure_hook(kind, _plain)

    def of_class(cls: Any) -> _Hook:
        names = ", ".join(each.name for each in attrs.fields(cls))
        words = f"a mapping, which may have {names}"
        return _only(Mapping, words, make_dict_structure_fn(cls, converter))

    def of_list(kind: Any) -> _Hook:
        return _only(list, "a list", list_structure_factory(kind, converter))

    def of_dict(kind: Any) -> _Hook:
        made = mapping_structure_factory(kind, converter)
        return _only(Mapping, "a mapping", made)

    converter.register_structure_hook_factory(attrs.has, of_class)
    converter.register_structure_hook_factory(_has_origin(list), of_list)
    converter.register_structure_hook_factory(_has_origin(dict), of_dict)
    for kind, make in makers.items():
        converter.register_structure_hook_func(_is(kind), _without_type(make))
    return converter


def _plain(value: Any, kind: type) -> Any:
    kinds, words = _PLAIN[kind]
    if not isinstance(value, kinds) or isinstance(value, bool) is not (kind is bool):
        raise must_be(words, value)
    return value


def _only(allowed: type, words: str, structure: _Hook) -> _Hook:
    """Refuse what is not of a type; cattrs would fail with an error about Python."""

    def hook(value: Any, kind: Any) -> Any:
        if not isinstance(value, allowed):
            raise must_be(words, value)
        return structure(value, kind)

    return hook


def _has_origin(wanted: type) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is wanted


def _is(wanted: Any) -> Callable[[Any], bool]:
    return lambda kind: bool(kind == wanted)


def _without_type(make: Make) -> _Hook:
    return lambda value, _: make(value)


def _problems(error: BaseException, path: Path) -> Iterator[Problem]:
    """Yield the faults that an error of cattrs consists of."""
    if isinstance(error, BaseValidationError):
        for part in error.exceptions:
            inner = path + _step(part)
            if not (isinstance(part, KeyError) and _is_misspelt(inner[-1], error)):
                yield from _problems(part, inner)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [each.name for each in attrs.fields(error.cl)]
        for name in sorted(map(str, error.extra_fields)):
            text = f"is not known: {known_names(name, known)}"
            yield Problem((*path, name), text)
    elif isinstance(error, KeyError):
        yield Problem(path, "is missing")
    else:
        yield Problem(path, str(error))


def _is_misspelt(key: str | int, error: BaseValidationError) -> bool:
    """Return whether a key that is missing is like one that is not known."""
    return any(
        did_you_mean(str(name), [str(key)])
        for part in error.exceptions
        if isinstance(part, ForbiddenExtraKeysError)
        for name in part.extra_fields
    )


def _step(error: BaseException) -> Path:
    """Return the key or position that cattrs has noted."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return (note.name,)
        if isinstance(note, IterableValidationNote):
            return (note.index,)
    return ()
