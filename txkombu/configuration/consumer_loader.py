"""Consumers and functions by their names: C{package.module:Name}."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from re import compile as pattern
from traceback import extract_tb
from typing import Any

from .._util.suggestions import did_you_mean
from .._util.validation import check_callable, shown_or_kind
from ..service import ConsumerFactory
from ..service.handlers import check_runs
from ..service.hosted_consumer import check_factory

_NAME = pattern(r"[\w.]+:\w+")


class ConsumerNotFound(ValueError):
    """There is nothing of this name that fits; the text says why in one line."""


def consumer_named(name: str) -> ConsumerFactory:
    """
    Import a consumer class, a handler, or a function that makes consumers.

    Meanwhile the current directory is searched first, as by C{python -m}.

    @param name: C{package.module:Name}.
    @raise ConsumerNotFound: there is no consumer of this name.
    """
    return check_consumer(name, object_named(name))


def check_consumer(name: str, found: object) -> ConsumerFactory:
    """
    Return what makes consumers, if it is that.

    @param name: its name, for the error.
    @raise ConsumerNotFound: it is not.
    """
    try:
        return check_factory(name, found)
    except TypeError as error:
        raise ConsumerNotFound(str(error)) from None


def function_named(name: str, arguments: int) -> Callable[..., Any]:
    """
    Import a function, as L{consumer_named} does a consumer.

    @param arguments: how many it is called with.
    @raise ConsumerNotFound: there is no such function of this name.
    """
    found: Any = object_named(name)
    try:
        check_callable(repr(name), found, arguments)
        check_runs(found)
    except TypeError as error:
        raise ConsumerNotFound(str(error)) from None
    return found  # type: ignore[no-any-return]  # checked above


def object_named(name: str) -> object:
    """
    Import an object.

    @param name: C{package.module:Name}.
    @raise ConsumerNotFound: there is none of this name.
    """
    module_name, _, attribute = name.partition(":")
    if not _NAME.fullmatch(name) or not module_name.strip("."):
        raise ConsumerNotFound(
            f"{shown_or_kind(name)} is not of the form package.module:Name"
        )
    try:
        with _working_directory_first():
            module = import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit and its like
        raise ConsumerNotFound(_not_imported(module_name, error)) from error
    try:
        found: object = getattr(module, attribute)
    except AttributeError:
        guess = did_you_mean(attribute, dir(module))
        text = f"module {module.__name__!r} has no {attribute!r}"
        raise ConsumerNotFound(f"{text}; {guess}" if guess else text) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConsumerNotFound(f"{name!r} cannot be read: {_cause(error)}") from error
    return found


@contextmanager
def _working_directory_first() -> Iterator[None]:
    here = _working_directory()
    if here is None or here in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):  # the module may have removed it
            sys.path.remove(here)


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted, as by whoever installs another version
        return None


def forget_working_directory() -> None:
    """
    Remove the current directory from the import path, unless PYTHONPATH or a .pth file
    added it: the headers of a message decide which libraries are imported to decode it.
    """
    begins_with_it = sys.path[:1] in ([""], [_working_directory()])
    if begins_with_it and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # python -m and python FILE put it there


def _not_imported(name: str, error: BaseException) -> str:
    """Tell a missing module from one whose import fails."""
    missing = (isinstance(error, ModuleNotFoundError) and error.name) or ""
    if missing and f"{name}.".startswith(f"{missing}."):
        return f"there is no module {missing!r}"
    return f"module {name!r} cannot be imported: {_cause(error)}"


def _cause(error: BaseException) -> str:
    """Describe an error and the innermost line at fault, unless its text has that."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:
        return text
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})"
