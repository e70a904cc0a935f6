"""
YAML of untrusted senders: PyYAML's safe loader, with limits.

The safe loader runs no code, but a small text can keep it busy for ever; or, with the
parser in C, overflow the stack and end the process.  So size and depth are limited, and
integers of thousands of digits are refused; so are merge keys (C{<<}), which nest into
an exponential number of pairs, and which no dumper writes.  Aliases are harmless: they
are loaded as references to one object.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from .._util.limits import CONTAINER_SIZE, MAX_BODY_SIZE, too_many_values
from .._util.shown import shown_error

YAML_LIMIT = 256 * 1024
"""
How many characters of YAML are accepted.  Loading them stops the reactor for a third
of a second with the parser in C, for one and a half seconds without it.
"""

YAML_DEPTH = 100
"""How deep YAML's lists and mappings may nest."""

_CHARACTER_SIZE: Final = CONTAINER_SIZE // 2
"""Without aliases a character counts as no more than this: C{[]} is a list."""
_WALKED: Final = 8
"""The limit of a value that contains itself is divided by this, as it is walked."""
_HUGE: Final = 1 << 62
_INTEGER_LENGTH = 1000
_MERGE = "tag:yaml.org,2002:merge"
_INTEGER = "tag:yaml.org,2002:int"


def dumps(value: object) -> str:
    """
    Write a value as C{yaml.safe_dump} does.

    @raise Exception: the value holds something that YAML cannot, or that L{loads} could
        not read back.
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
    @raise yaml.YAMLError: it is not YAML, nests deeper than L{YAML_DEPTH}, or holds
        something that is refused.
    """
    import yaml

    if len(text) > YAML_LIMIT:
        raise ValueError(
            f"{len(text)} characters of YAML are more than the {YAML_LIMIT} accepted"
        )
    return yaml.load(text, Loader=_loader())


def check_size(text: str | bytes, limit: int) -> None:
    """
    Compute the size of a value, in which an alias counts as all that it refers to.

    @param limit: the maximum in bytes; see L{txkombu._util.limits}.
    @raise ValueError: the value is larger.
    @raise yaml.YAMLError: as L{loads}.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    has_aliases = "*" in text and "&" in text
    if len(text) > YAML_LIMIT or not (
        has_aliases or len(text) * _CHARACTER_SIZE > limit
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
    """A node contains an alias of itself."""


def _add_up(node: Any, sizes: dict[int, int]) -> int:
    """
    Return the size of a node, aliases counted as all that they refer to.

    @param sizes: by the identity of nodes; 0 while a node is being added up.
    @raise _ContainsItself: a node contains itself, so that its size is infinite.
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
    Add up the size of a document until it is enough: of each alias what it refers to,
    unless that contains the alias.
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
    """Yield the elements of a list, or the keys and values of a mapping."""
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
    """Make a subclass of one of PyYAML's two safe loaders that has limits."""
    from yaml import YAMLError

    class Loader(base):  # type: ignore[misc]  # the base is chosen at run time
        depth = 0

        # both composers, in Python and in C, call these two around each node
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
            # 1:59:59… is a number of base 60, which takes quadratic time
            if len(node.value) > _INTEGER_LENGTH:
                raise YAMLError(f"an integer of {len(node.value)} digits")
            return int(self.construct_yaml_int(node))

    Loader.add_constructor(_INTEGER, Loader.construct_integer)
    return Loader
