"""
YAML from strangers: PyYAML's safe loader, with its sharp edges taken off.

The safe loader runs no code, but a small text can still make it work for ever
or, where the parser is the one in C, overflow the stack and end the process.
So the size and the depth are bounded, merge keys (C{<<}, which nest into an
exponential number of pairs, and which no dumper writes) are refused, and so
are integers of thousands of digits.  Aliases are harmless: they are loaded as
references to one object.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from .._util.limits import CONTAINER_SIZE, MAX_BODY_SIZE, too_many_values
from .._util.shown import shown_error

YAML_LIMIT = 256 * 1024
"""
How many characters of YAML are accepted.  Loading that many stops the reactor
for a third of a second with the parser in C, for one and a half without it.
"""

YAML_DEPTH = 100
"""How deep YAML's lists and mappings may nest."""

_CHARACTER_MOST: Final = CONTAINER_SIZE // 2
"""What a character of a text without aliases may count as: C{[]} is a list."""
_WALKED: Final = 8
"""A value that contains itself may be so many times smaller: it has to be walked."""
_HUGE: Final = 1 << 62
_INTEGER_LENGTH = 1000
_MERGE = "tag:yaml.org,2002:merge"
_INTEGER = "tag:yaml.org,2002:int"


def dumps(value: object) -> str:
    """
    Write a value as C{yaml.safe_dump} does.

    @raise Exception: there is something in it that YAML cannot hold, or that
        L{loads} could not read back.
    """
    import yaml

    text = yaml.safe_dump(value)
    try:
        loads(text)
        check_size(text, MAX_BODY_SIZE)
    except Exception as error:
        raise ValueError(f"it could not be read back: {shown_error(error)}") from error
    return text


def loads(text: str) -> object:
    """
    Read one YAML document.

    @raise ValueError: it is longer than L{YAML_LIMIT}.
    @raise yaml.YAMLError: it is no YAML, nests deeper than L{YAML_DEPTH}, or
        holds what is not accepted.
    """
    import yaml

    if len(text) > YAML_LIMIT:
        raise ValueError(
            f"{len(text)} characters of YAML are more than the {YAML_LIMIT} accepted"
        )
    return yaml.load(text, Loader=_loader())


def check_size(text: str | bytes, limit: int) -> None:
    """
    Add up what a value will take where each alias stands for all it refers to.

    @raise ValueError: it is more than allowed.
    @raise yaml.YAMLError: as L{loads}.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    has_aliases = "*" in text and "&" in text
    if len(text) > YAML_LIMIT or not (
        has_aliases or len(text) * _CHARACTER_MOST > limit
    ):
        return
    loader = _loader()(text)
    try:
        node = loader.get_single_node()
    finally:
        loader.dispose()
    try:
        is_too_large = node is not None and _add_up(node, {}) > limit
    except _ContainsItself:
        is_too_large = _walk(node, limit // _WALKED) > limit // _WALKED
    if is_too_large:
        raise too_many_values(limit)


class _ContainsItself(Exception):
    """A node is an alias of what it is in."""


def _add_up(node: Any, sizes: dict[int, int]) -> int:
    """
    @param sizes: by the identity of a node; those not added up yet count as nothing.
    @raise _ContainsItself: there is no end to it.
    """
    size = sizes.get(id(node))
    if size is None:
        sizes[id(node)] = 0
        size = CONTAINER_SIZE
        if isinstance(node.value, str):
            size += len(node.value)
        else:
            size += sum(_add_up(part, sizes) for part in _parts(node))
        sizes[id(node)] = size = min(size, _HUGE)
    elif not size:
        raise _ContainsItself
    return size


def _walk(root: Any, enough: int) -> int:
    """
    Walk a document as C{repr} walks its value: into each alias, but not into what
    contains it.  Add up to what is enough.
    """
    total = 0
    above: set[int] = set()
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting and total <= enough:
        node, is_over = waiting.pop()
        if is_over:
            above.discard(id(node))
            continue
        total += CONTAINER_SIZE
        if isinstance(node.value, str):
            total += len(node.value)
        elif id(node) not in above:
            above.add(id(node))
            waiting.append((node, True))
            waiting.extend((part, False) for part in _parts(node))
    return total


def _parts(node: Any) -> Iterator[Any]:
    """Yield what is in a list, or the keys and values of a mapping."""
    for each in node.value:
        if isinstance(each, tuple):
            yield from each
        else:
            yield each


@cache
def _loader() -> Any:
    import yaml

    return guarded(getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def guarded(base: Any) -> Any:
    """Make a loader that is C{base}, one of PyYAML's two safe ones, bounded."""
    from yaml import YAMLError

    class Loader(base):  # type: ignore[misc]  # the base is chosen at run time
        depth = 0

        # the composers call these two around each node, the one in C too
        def descend_resolver(self, node: object, index: object) -> None:
            self.depth += 1
            if self.depth > YAML_DEPTH:
                raise YAMLError(f"nested deeper than {YAML_DEPTH}")

        def ascend_resolver(self) -> None:
            self.depth -= 1

        def flatten_mapping(self, node: Any) -> None:
            if any(key.tag == _MERGE for key, _ in node.value):
                raise YAMLError("merge keys (<<) are not accepted")
            super().flatten_mapping(node)

        def construct_integer(self, node: Any) -> int:
            # 1:59:59… is a number to the base of 60, read in quadratic time
            if len(node.value) > _INTEGER_LENGTH:
                raise YAMLError(f"an integer of {len(node.value)} digits")
            return int(self.construct_yaml_int(node))

    Loader.add_constructor(_INTEGER, Loader.construct_integer)
    return Loader
