"""Texts that are written in a file, an environment variable or a file of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from .structure import Wrong, must_be

_ALLOWED: Final = "a text, {env: NAME} or {file: PATH}"


class Text:
    """
    A text that is read when it is needed, and never shown.

    A file is read each time, as what renews a password writes it anew.  The end of the
    line at its end is left out.

    @param value: a text, C{{env: NAME}} or C{{file: PATH}}.
    @raise ValueError: it is none of these, or there is no such variable or file now.
    """

    def __init__(self, value: Any) -> None:
        self._read = _reader(value)
        self._read()

    def __call__(self) -> str:
        """
        Read the text.

        @raise ValueError: the variable or file is not there any more.
        """
        return self._read()


def _reader(value: Any) -> Callable[[], str]:
    if isinstance(value, str):
        return lambda: value
    if not isinstance(value, Mapping) or len(value) != 1:
        raise must_be(_ALLOWED, value)
    ((kind, where),) = value.items()
    if kind not in ("env", "file"):
        raise Wrong(f"must be {_ALLOWED}; {kind!r} is not known")
    if not isinstance(where, str) or not where:
        raise must_be(f"a name, after {kind}", where)
    return lambda: _of_variable(where) if kind == "env" else _of_file(where)


def _of_variable(name: str) -> str:
    if name not in os.environ:
        raise Wrong(f"there is no environment variable {name!r}")
    return os.environ[name]


def _of_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as opened:
            return opened.read().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        why = error.strerror or str(error)
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    raise Wrong(f"file {path!r} cannot be read: {why}")
