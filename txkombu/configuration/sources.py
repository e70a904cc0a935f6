"""Texts that are written in a file, an environment variable or a file of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from .._util.suggestions import did_you_mean
from .structure import IN_QUOTES, Wrong, must_be

_ALLOWED: Final = "a text, {env: NAME} or {file: PATH}"
_KINDS: Final = ("env", "file")
_LONGEST: Final = 65536
"""Bytes that a file with a text may have."""


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
    if value is None:
        hint = "leave the key out, or put a text that begins with # or & in quotes"
        raise Wrong(f"must be {_ALLOWED}; nothing is there: {hint}")
    if isinstance(value, bool | int | float):
        # Not shown: who forgets the quotes may have written a password.
        raise Wrong(f"must be {_ALLOWED}; it is no text: {IN_QUOTES}")
    if not isinstance(value, Mapping) or len(value) != 1:
        raise must_be(_ALLOWED, value)
    ((kind, where),) = value.items()
    if kind not in _KINDS:
        # The key is not shown either, as {secret} is a mapping, too.
        told = did_you_mean(str(kind), _KINDS) or "it is another mapping"
        raise Wrong(f"must be {_ALLOWED}; {told}")
    if not isinstance(where, str) or not where:
        raise must_be(f"a name, after {kind}", where)
    return lambda: _of_variable(where) if kind == "env" else _of_file(where)


def _of_variable(name: str) -> str:
    if name not in os.environ:
        raise Wrong(f"there is no environment variable {name!r}")
    return _not_empty(f"environment variable {name!r}", os.environ[name])


def _of_file(path: str) -> str:
    try:
        with open(path, "rb") as opened:
            data = opened.read(_LONGEST + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        why = error.strerror or str(error)
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except ValueError as error:  # its name has a zero byte
        why = str(error)
    else:
        if len(data) <= _LONGEST:
            text = text.removesuffix("\n").removesuffix("\r")
            return _not_empty(f"file {path!r}", text)
        why = f"it has more than {_LONGEST:,} bytes"
    raise Wrong(f"file {path!r} cannot be read: {why}")


def _not_empty(what: str, text: str) -> str:
    if not text:
        raise Wrong(f"{what} is empty")
    return text
