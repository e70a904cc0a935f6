"""
Consumers by name, as the command line gives them: C{package.module:Name}.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib import import_module
from re import compile as pattern
from traceback import extract_tb
from types import ModuleType
from typing import Final

from .._util.validation import shown_or_kind
from ..service import ConsumerFactory
from ..service.hosted_consumer import check_factory

_NAME = pattern(r"[\w.]+:\w+")
_FAULTS: Final = (Exception, SystemExit, GeneratorExit)
"""What a user's module may raise; KeyboardInterrupt is Ctrl-C."""


class ConsumerNotFound(ValueError):
    """A name leads to no consumer; the text is one line and says why."""


def consumer_named(name: str) -> ConsumerFactory:
    """
    Import a consumer, or what makes one; the current directory is looked in
    first, as C{python -m} does, but only meanwhile.

    @param name: C{package.module:Name}.
    @raise ConsumerNotFound: it leads to no consumer.
    """
    module_name, _, attribute = name.partition(":")
    if not _NAME.fullmatch(name) or not module_name.strip("."):
        raise ConsumerNotFound(
            f"{shown_or_kind(name)} is not of the form package.module:Name"
        )
    module = _module(module_name)
    try:
        found = getattr(module, attribute)
    except AttributeError:
        raise ConsumerNotFound(_no_attribute(module, attribute)) from None
    except _FAULTS as error:
        raise ConsumerNotFound(f"{name!r} cannot be had: {_told(error)}") from error
    try:
        return check_factory(name, found)
    except TypeError as error:
        raise ConsumerNotFound(str(error)) from None


def _module(name: str) -> ModuleType:
    try:
        with _working_directory_first():
            return import_module(name)
    except _FAULTS as error:
        raise ConsumerNotFound(_not_imported(name, error)) from error


@contextmanager
def _working_directory_first() -> Iterator[None]:
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):  # the module removed it
            sys.path.remove(here)


def forget_working_directory() -> None:
    """
    Import from it no more, unless PYTHONPATH or a .pth file says so: the headers of
    a message choose which libraries are imported to read it.
    """
    begins_with_it = sys.path[:1] in ([""], [os.getcwd()])
    if begins_with_it and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # where Python put it for the program that it was told to run


def _not_imported(name: str, error: BaseException) -> str:
    """A module that is missing is told from one that fails to import."""
    missing = (isinstance(error, ModuleNotFoundError) and error.name) or ""
    if missing and f"{name}.".startswith(f"{missing}."):
        return f"there is no module {missing!r}"
    return f"module {name!r} cannot be imported: {_told(error)}"


def _told(error: BaseException) -> str:
    reason = " ".join(str(error).split())
    return f"{type(error).__name__}: {reason}{_where(error)}"


def _where(error: BaseException) -> str:
    """The innermost line at fault; a SyntaxError names its own."""
    frames = extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:
        return ""
    return f" ({frames[-1].filename}, line {frames[-1].lineno})"


def _no_attribute(module: ModuleType, attribute: str) -> str:
    near = get_close_matches(attribute, dir(module), 1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return f"module {module.__name__!r} has no {attribute!r}{guess}"
