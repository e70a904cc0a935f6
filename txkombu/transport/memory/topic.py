"""
Topic matching by a trie of words.

A pattern is words with dots between them.  C{*} stands for exactly one word, C{#} for
any number of words, zero included.  Words may be empty: C{"a."} has two.  The empty key
has no words on RabbitMQ; AMQP 0-9-1, 3.1.3.3 does not say.

A look-up walks only the branches that can match, whatever the number of bindings, and
none of them twice.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class _Node(Generic[T]):
    """The patterns that share their first words, and those that end here."""

    __slots__ = ("branches", "here")

    def __init__(self) -> None:
        self.branches: dict[str, _Node[T]] = {}
        self.here: dict[T, None] = {}


class TopicTrie(Generic[T]):
    """A set of (pattern, item) that can be looked up by keys."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add_pattern(self, pattern: str, item: T) -> None:
        """Add an item under a pattern."""
        node = self._root
        for word in words_of(pattern):
            node = node.branches.setdefault(word, _Node())
        node.here[item] = None

    def discard(self, pattern: str, item: T) -> None:
        """Remove an item, and the branches that are left without items."""
        path = [("", self._root)]
        for word in words_of(pattern):
            node = path[-1][1].branches.get(word)
            if node is None:
                return
            path.append((word, node))
        path[-1][1].here.pop(item, None)
        for (_, parent), (word, node) in zip(path[-2::-1], path[:0:-1], strict=True):
            if not node.branches and not node.here:
                del parent.branches[word]

    def match(self, key: str) -> dict[T, None]:
        """Return the items whose patterns match a key, each once."""
        words = words_of(key)
        end = len(words)
        found: dict[T, None] = {}
        seen: set[tuple[int, int]] = set()
        todo = [(self._root, 0)]
        while todo:
            node, at = todo.pop()
            if (id(node), at) in seen:
                continue
            seen.add((id(node), at))
            if at == end:
                found.update(node.here)
            branches = node.branches
            rest = branches.get("#")
            if rest is not None:
                todo.extend((rest, later) for later in range(at, end + 1))
            if at < end:
                for word in (words[at], "*") if words[at] != "*" else ("*",):
                    branch = branches.get(word)
                    if branch is not None and branch is not rest:
                        todo.append((branch, at + 1))
        return found


def words_of(key: str) -> list[str]:
    """Split a key at its dots; the empty key has no words."""
    return key.split(".") if key else []
