"""
Which bindings of a queue match messages that another one matches, too: the queue would
get two copies of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..bindings import indexes_of
from ..dialect import StompBinding
from .mapping import ANY_WORD, ANY_WORDS, Words, binding_words, unsupported


class _Node:
    """
    The patterns that begin with the same words.

    @ivar next: what begins with one word more, by that word.
    @ivar keys: the routing keys of those that have no more words, and how many
        bindings have each.
    """

    __slots__ = ("keys", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Node] = {}
        self.keys: dict[str, int] = {}


class Patterns:
    """The patterns of bindings, as a tree of their words."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, bound: StompBinding) -> None:
        """Take a binding."""
        node = self._root
        for word in binding_words(bound):
            node = node.next.setdefault(word, _Node())
        node.keys[bound.routing_key] = node.keys.get(bound.routing_key, 0) + 1

    def discard(self, bound: StompBinding) -> None:
        """Forget a binding that was added."""
        words, path = binding_words(bound), [self._root]
        for word in words:
            path.append(path[-1].next[word])
        keys = path[-1].keys
        keys[bound.routing_key] -= 1
        if not keys[bound.routing_key]:
            del keys[bound.routing_key]
        for word in reversed(words):
            node = path.pop()
            if node.next or node.keys:
                break
            del path[-1].next[word]

    def overlapping(self, words: Words) -> str | None:
        """Return the routing key of another pattern that overlaps with this one."""
        for node in self._beside(words):
            for key in node.keys:
                return key
        return None

    def _beside(self, words: Words) -> Iterator[_Node]:
        """Find what overlaps with a pattern, but for the pattern itself."""
        itself = self._find(words)
        waiting = [(self._root, 0)]
        while waiting:
            node, depth = waiting.pop()
            word = words[depth] if depth < len(words) else None
            if (word is None or word == ANY_WORDS) and node is not itself:
                yield node
            if word == ANY_WORDS:
                waiting += [(each, depth) for each in node.next.values()]
                continue
            # That stands for no words, too.
            rest = node.next.get(ANY_WORDS)
            if rest is not None:
                yield rest
            if word is not None:
                waiting += [(each, depth + 1) for each in _matching(node, word)]

    def _find(self, words: Words) -> _Node | None:
        node: _Node | None = self._root
        for word in words:
            if node is not None:
                node = node.next.get(word)
        return node


def _matching(node: _Node, word: str) -> Iterable[_Node]:
    """Return what goes on with a word, or with one that may stand for it."""
    if word == ANY_WORD:
        return node.next.values()
    found = (node.next.get(each) for each in (word, ANY_WORD))
    return [each for each in found if each is not None]


def check_overlap(
    queue: str, bound: StompBinding, others: Iterable[StompBinding]
) -> None:
    """@raise NotSupported: the queue would have two copies of some messages."""
    words = binding_words(bound)
    for patterns in indexes_of(others, Patterns):
        key = patterns.overlapping(words)
        if key is not None:
            raise unsupported(
                f"binding {queue!r} to {bound.exchange.name!r} by "
                f"{bound.routing_key!r} beside {key!r}",
                "both match some messages, and the queue would get these twice; "
                "bind by one pattern, or by patterns that exclude each other",
            )
