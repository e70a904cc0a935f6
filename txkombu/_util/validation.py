"""Checks of users' arguments; each error names the argument at fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from inspect import signature
from re import compile as pattern
from typing import TypeVar

from .field_values import DEEPEST

T = TypeVar("T")

SHORT_STRING_BYTES = 255
"""AMQP 0-9-1, 4.2.5.3: short strings hold up to 255 bytes."""

_HARMLESS = pattern(r"[\w.:-]{0,60}")
_SURROGATE = pattern("[\ud800-\udfff]")
_CONTAINERS = (Mapping, list, tuple)
_DELIVERY_MODES: dict[object, int] = {1: 1, 2: 2, "transient": 1, "persistent": 2}


def kind_of(value: object) -> str:
    """Describe a value by its type, as it may hold a password."""
    return "None" if value is None else f"a value of type {type(value).__name__}"


def shown_or_kind(value: object) -> str:
    """Quote a text that can hold no URL; describe any other value by its type."""
    harmless = isinstance(value, str) and _HARMLESS.fullmatch(value)
    return repr(value) if harmless else kind_of(value)


def check_hidden_string(what: str, value: object) -> str:
    """Check a short string as L{check_short_string} does, but never show it."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {kind_of(value)}")
    size = len(check_utf8(what, value).encode())
    if size > SHORT_STRING_BYTES:
        raise ValueError(
            f"{what} has {size} bytes of UTF-8, at most {SHORT_STRING_BYTES} are "
            "allowed"
        )
    return value


def check_utf8(what: str, text: str) -> str:
    """Refuse text that cannot be written as UTF-8 with ValueError; do not show it."""
    if not is_utf8(text):
        raise ValueError(f"the {what} cannot be written as UTF-8")
    return text


def is_utf8(text: str) -> bool:
    """Return whether text can be UTF-8; an UnicodeEncodeError would hold a password."""
    return _SURROGATE.search(text) is None


def check_short_string(what: str, value: object) -> str:
    """
    Check a short string of AMQP.

    @raise TypeError: it is not a str.
    @raise ValueError: it has more than 255 bytes of UTF-8, or cannot be UTF-8.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {value!r}")
    if len(value) <= SHORT_STRING_BYTES and value.isascii():
        return value
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} {value!r} cannot be written as UTF-8") from error
    if size > SHORT_STRING_BYTES:
        raise ValueError(
            f"{what} has {size} bytes of UTF-8, at most {SHORT_STRING_BYTES} are "
            f"allowed: {value[:40]!r}…"
        )
    return value


def check_bool(what: str, value: object) -> bool:
    """Refuse anything but True and False with TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {kind_of(value)}")
    return value


def check_count(
    what: str, value: object, minimum: int = 0, maximum: int | None = None
) -> int | None:
    """
    Check a number; None is accepted.

    @raise TypeError: it is neither an int nor None.
    @raise ValueError: it is out of range.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {kind_of(value)}")
    if value < minimum or (maximum is not None and value > maximum):
        limits = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
        raise ValueError(f"{what} must be {limits}, not {value}")
    return value


def check_number(
    what: str, value: object, minimum: float, maximum: float = float("inf")
) -> float:
    """
    Check a finite number.

    @raise TypeError: it is not a number.
    @raise ValueError: it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number, not {kind_of(value)}")
    if not minimum <= value <= maximum or value == float("inf"):
        limits = f"{minimum:g} to {maximum:g}"
        if maximum == float("inf"):
            limits = f"at least {minimum:g}"
        raise ValueError(f"{what} must be {limits}, not {value}")
    return value


def check_seconds(what: str, value: object) -> float:
    """
    Check a number of seconds.

    @raise TypeError: it is not a number.
    @raise ValueError: it is negative, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number of seconds, not {kind_of(value)}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{what} must be at least 0 seconds, not {value}")
    return value


def milliseconds(what: str, seconds: object, minimum: int = 0) -> int | None:
    """
    Return seconds as whole milliseconds, and None as None.

    @raise TypeError: it is not a number.
    @raise ValueError: it is negative, not finite, or below C{minimum} ms.
    """
    if seconds is None:
        return None
    whole = int(round(check_seconds(what, seconds) * 1000, 6))
    if whole < minimum:
        raise ValueError(f"{what} must be at least {minimum} ms, not {seconds} s")
    return whole


def check_delivery_mode(value: object) -> int | None:
    """
    Return a delivery mode as 1 or 2, and None as None.

    @raise ValueError: it is not a delivery mode.
    """
    if value is None:
        return None
    is_mode = isinstance(value, int | str) and not isinstance(value, bool)
    mode = _DELIVERY_MODES.get(value) if is_mode else None
    if mode is None:
        raise ValueError(
            f"delivery_mode must be 1, 2, 'transient' or 'persistent', not {value!r}"
        )
    return mode


def check_arguments(what: str, value: object) -> dict[str, object]:
    """
    Copy a mapping with str keys, and the containers in it; None is an empty one.

    @raise TypeError: it is not a mapping, or a key is not a str.
    @raise ValueError: a key has more than 255 bytes, or the mapping nests too deeply.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be a mapping, not {value!r}")
    return {
        check_short_string(f"key of {what}", key): _copied(what, value[key])
        for key in value
    }


def _copied(what: str, value: object, depth: int = 1) -> object:
    """Copy a value, if it can be changed."""
    if isinstance(value, _CONTAINERS):
        if depth >= DEEPEST:
            raise ValueError(f"{what} must nest at most {DEEPEST} levels deep")
        if isinstance(value, Mapping):
            return {k: _copied(what, v, depth + 1) for k, v in value.items()}
        parts = [_copied(what, part, depth + 1) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return bytes(value) if isinstance(value, bytearray | memoryview) else value


def check_auto_declare(value: object) -> bool | str:
    """Refuse anything but True, False and C{"passive"} with ValueError."""
    if value is True or value is False or value == "passive":
        return value
    raise ValueError(f"auto_declare must be True, False or 'passive', not {value!r}")


def refuse_options(
    call: str, options: Mapping[str, object], own: Iterable[str]
) -> None:
    """
    Refuse options that a call sets itself with TypeError.

    @param call: its name, such as C{call()}.
    @param options: what it was given.
    @param own: the names of those that it sets.
    """
    for name in own:
        if name in options:
            raise TypeError(f"{call} sets {name} itself: leave it out")


def without_arguments(function: object) -> object:
    """Return what a partial calls in the end; its arguments may be passwords."""
    while isinstance(function, partial):
        function = function.func
    return function


def check_callable(what: str, value: T, arguments: int) -> T:
    """Refuse what cannot be called with so many arguments with TypeError."""
    if not callable(value):
        raise TypeError(f"{what} must be callable, not {value!r}")
    try:
        signature(value).bind(*[None] * arguments)
    except TypeError:
        raise TypeError(
            f"{what} is called with {arguments} arguments; "
            f"{without_arguments(value)!r} takes others"
        ) from None
    except ValueError:
        pass  # a built-in function without signature
    return value
