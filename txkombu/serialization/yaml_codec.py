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

from functools import cache
from typing import Any

YAML_LIMIT = 256 * 1024
"""
How many characters of YAML are accepted.  Loading that many stops the reactor
for a third of a second with the parser in C, for one and a half without it.
"""

YAML_DEPTH = 100
"""How deep YAML's lists and mappings may nest."""

_INTEGER_LENGTH = 1000
_MERGE = "tag:yaml.org,2002:merge"
_INTEGER = "tag:yaml.org,2002:int"


def dumps(value: object) -> str:
    """
    Write a value as C{yaml.safe_dump} does.

    @raise yaml.YAMLError: there is something in it that YAML cannot hold.
    """
    import yaml

    return yaml.safe_dump(value)


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
