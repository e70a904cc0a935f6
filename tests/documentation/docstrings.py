"""
What docstrings say, as reStructuredText: the text of a function, of each of its
parameters, and of its result.
"""

from __future__ import annotations

import inspect
import re
from typing import Final

import attrs

from tests.packaging.test_layout import PUBLIC

_FIELD: Final = re.compile(r"^@(\w+)(?: ([\w.]+))?:\s*", re.MULTILINE)
_LINKED: Final = re.compile(r"[LU]\{([^{}<]+)<[^{}<>]+>\}")
_CODE: Final = re.compile(r"[CL]\{((?:[^{}]|\{[^{}]*\})*)\}")
_ITALIC: Final = re.compile(r"I\{([^{}]*)\}")
_MARKED: Final = re.compile(r"([CLI]\{(?:[^{}]|\{[^{}]*\})*\})")
_SPECIAL: Final = re.compile(r"[*|\\`]|_(?=\W|$)")
_MODULES: Final = re.compile(r"^txkombu\.(?:[a-z_]+\.)*")


@attrs.frozen
class Docstring:
    """
    One docstring, in parts.

    @ivar text: what stands before its fields.
    @ivar parameters: what is said of each parameter.
    @ivar attributes: what is said of each variable.
    @ivar result: what is said of the result; C{""} if nothing is.
    @ivar raised: what is said of each error that is raised.
    """

    text: str = ""
    parameters: dict[str, str] = attrs.field(factory=dict)
    attributes: dict[str, str] = attrs.field(factory=dict)
    result: str = ""
    raised: dict[str, str] = attrs.field(factory=dict)


def read(docstring: str | None) -> Docstring:
    """
    Divide a docstring into its parts.

    @param docstring: as written, in epytext.
    """
    clean = inspect.cleandoc(docstring or "")
    found = list(_FIELD.finditer(clean))
    starts = [each.start() for each in found] + [len(clean)]
    read_so_far = Docstring(restructured(clean[: starts[0]]))
    for each, end in zip(found, starts[1:], strict=True):
        kind, name = each.group(1), each.group(2) or ""
        said = restructured(clean[each.end() : end])
        if kind == "return":
            read_so_far = attrs.evolve(read_so_far, result=said)
        else:
            _kept_in(read_so_far, kind)[name] = said
    return read_so_far


def _kept_in(docstring: Docstring, kind: str) -> dict[str, str]:
    kinds = {
        "param": docstring.parameters,
        "ivar": docstring.attributes,
        "cvar": docstring.attributes,
        "raise": docstring.raised,
    }
    return kinds[kind]


def restructured(text: str) -> str:
    """
    Turn epytext into reStructuredText.

    @param text: paragraphs; line ends within one mean nothing.
    """
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(_inline(" ".join(each.split())) for each in paragraphs)


def _inline(text: str) -> str:
    plain = _LINKED.sub(r"\1", text)
    pieces = _MARKED.split(plain)
    return "".join(
        f"\\ {text}" if number and text[:1].isalnum() and number % 2 == 0 else text
        for number, text in enumerate(map(_piece, pieces))
    )


def _piece(text: str) -> str:
    code = _CODE.fullmatch(text)
    if code:
        name = code.group(1)
        shown = name if name in PUBLIC else _MODULES.sub("", name)
        return f"``{shown}``" if shown else ""
    italic = _ITALIC.fullmatch(text)
    if italic:
        return f"*{italic.group(1)}*"
    return _SPECIAL.sub(lambda found: f"\\{found.group()}", text)
