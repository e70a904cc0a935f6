"""
Routing and order in the memory broker, compared with the obvious way to do it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.memory_harness import MemoryTestCase
from txkombu.entity import Exchange, Queue
from txkombu.interfaces import Properties
from txkombu.transport.memory import Binding
from txkombu.transport.memory.backlog import Backlog, PriorityBacklog
from txkombu.transport.memory.message import BrokerMessage, Envelope
from txkombu.transport.memory.routing import TopicRouter
from txkombu.transport.memory.topic import TopicTrie, words_of

_PATTERNS = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=5).map(
    ".".join
)
_KEYS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=6).map(".".join)


def _matches(pattern: str, key: str) -> bool:
    """Topic matching by a regular expression over the words of a key."""
    parts = {"*": "(?:<[^>]*>)", "#": "(?:<[^>]*>)*"}
    expression = "".join(
        parts.get(word) or re.escape(f"<{word}>") for word in words_of(pattern)
    )
    return bool(re.fullmatch(expression, "".join(f"<{w}>" for w in words_of(key))))


class TopicTests(SynchronousTestCase):
    """The trie of topic patterns."""

    @given(st.lists(_PATTERNS, max_size=8), _KEYS)
    def test_matches(self, patterns: list[str], key: str) -> None:
        """The trie finds what a regular expression for each pattern finds."""
        trie: TopicTrie[str] = TopicTrie()
        for pattern in patterns:
            trie.add_pattern(pattern, pattern)
        wanted = {pattern for pattern in patterns if _matches(pattern, key)}
        self.assertEqual(set(trie.match(key)), wanted)

    @given(st.sets(_PATTERNS, max_size=8), st.sets(_PATTERNS, max_size=8), _KEYS)
    def test_discard(self, kept: set[str], gone: set[str], key: str) -> None:
        """A removed pattern is not found, and leaves no branches behind."""
        trie: TopicTrie[str] = TopicTrie()
        for pattern in kept | gone:
            trie.add_pattern(pattern, pattern)
        for pattern in gone:
            trie.discard(pattern, pattern)
            trie.discard(pattern, pattern)
        wanted = {each for each in kept - gone if _matches(each, key)}
        self.assertEqual(set(trie.match(key)), wanted)
        for pattern in kept - gone:
            trie.discard(pattern, pattern)
        self.assertEqual((trie._root.branches, trie._root.here), ({}, {}))

    def test_not_linear(self) -> None:
        """Looking up costs the same whatever the number of patterns."""

        def visited(words: int) -> int:
            trie: TopicTrie[str] = TopicTrie()
            for first, second in product(range(words), repeat=2):
                trie.add_pattern(f"w{first}.w{second}.#", "")
            return _visits(trie, "w1.w2.w3")

        self.assertEqual(visited(3), visited(60))

    def test_many_hashes(self) -> None:
        """Patterns of many hashes are looked up without going back and forth."""
        trie: TopicTrie[str] = TopicTrie()
        trie.add_pattern(".".join(["#", "a"] * 12 + ["#"]), "hit")
        self.assertEqual(list(trie.match(".".join(["a"] * 200))), ["hit"])
        self.assertEqual(list(trie.match(".".join(["a"] * 11 + ["b"] * 200))), [])


def _visits(trie: TopicTrie[str], key: str) -> int:
    """Count how often a lookup asks a node for its branches."""
    visits = 0

    class Spy(dict[str, object]):
        def get(self, word: str, default: object = None) -> object:
            nonlocal visits
            visits += 1
            return super().get(word, default)

    todo = [trie._root]
    while todo:
        node = todo.pop()
        todo += node.branches.values()
        node.branches = Spy(node.branches)  # type: ignore[assignment]  # in its place, for this test
    trie.match(key)
    return visits


class CustomTypeTests(MemoryTestCase):
    """Exchange types that a program registers."""

    def longest(
        self, bindings: Sequence[Binding], key: str, properties: Properties
    ) -> Iterable[Binding]:
        """The binding with the longest key that the message's begins with."""
        fitting = [each for each in bindings if key.startswith(each.key)]
        return sorted(fitting, key=lambda each: len(each.key))[-1:]

    def test_custom(self) -> None:
        """A registered type routes as its function says."""
        self.broker.register_exchange_type("longest", self.longest)
        channel = self.channel()
        exchange = Exchange("x", "longest")
        self.done(channel.exchange_declare(exchange, False))
        for name in ("a", "ab"):
            queue = self.queue(channel, name)
            self.done(channel.queue_bind(queue, exchange, name, {}))
        for key in ("abc", "acc", "ccc"):
            channel.basic_publish(key.encode(), {}, exchange, key, False, False)
        self.assertEqual(self.waiting("ab"), [b"abc"])
        self.assertEqual(self.waiting("a"), [b"acc"])
        self.done(channel.queue_unbind(Queue("ab"), exchange, "ab", {}))
        channel.basic_publish(b"abd", {}, exchange, "abd", False, False)
        self.assertEqual(self.waiting("a"), [b"acc", b"abd"])

    def test_taken(self) -> None:
        """An exchange type cannot be registered twice."""
        with self.assertRaisesRegex(ValueError, "'topic'"):
            self.broker.register_exchange_type("topic", self.longest)

    def test_in_every_virtual_host(self) -> None:
        """An exchange type registered late is known in existing virtual hosts."""
        channel = self.channel()
        self.broker.register_exchange_type("longest", self.longest)
        self.done(channel.exchange_declare(Exchange("x", "longest"), False))


class RememberingTests(MemoryTestCase):
    """What topic exchanges remember of the keys they have seen."""

    def test_many_keys(self) -> None:
        """However many keys there are, they are routed, and memory is bounded."""
        channel = self.channel()
        queue, exchange = self.queue(channel), Exchange("amq.topic")
        self.done(channel.queue_bind(queue, exchange, "a.#", {}))
        for number in range(2500):
            channel.basic_publish(b"", {}, exchange, f"a.{number}", False, False)
        self.assertEqual(len(self.waiting()), 2500)
        router = self.broker.exchange("amq.topic").router
        assert isinstance(router, TopicRouter)
        self.assertLessEqual(len(router._known), 1000)

    def test_changed(self) -> None:
        """A key seen before is routed anew once a binding changed."""
        channel = self.channel()
        queue, exchange = self.queue(channel), Exchange("amq.topic")
        for bound in (True, False, True):
            change = channel.queue_bind if bound else channel.queue_unbind
            self.done(change(queue, exchange, "*", {}))
            channel.basic_publish(b"", {}, exchange, "key", False, False)
        self.assertEqual(len(self.waiting()), 2)


_ENVELOPES = [Envelope({"priority": each}, "", f"key{each}") for each in range(8)]


def _message(number: int, priority: int = 0) -> BrokerMessage:
    """Make a message that shares its envelope with others; some of them expire."""
    message = BrokerMessage(b"x" * number, _ENVELOPES[priority])
    message.expires = 7.0 if number % 5 == 0 else None
    return message


def _hand_out(backlog: Backlog, count: int) -> list[BrokerMessage]:
    """Take the first messages, as a channel does that hands them out."""
    taken = [backlog.pop() for _ in range(count)]
    for place, message in enumerate(taken, 1):
        message.place = place
    return taken


def _told(message: BrokerMessage) -> tuple[int, int, bool]:
    """Return what tells one of these messages from others."""
    return (
        min(message.envelope.priority, 5),
        len(message.body),
        message.expires is not None,
    )


class BacklogTests(SynchronousTestCase):
    """Waiting messages keep their order whatever is taken and put back."""

    @given(st.permutations(range(1, 13)), st.integers(0, 12))
    def test_put_back(self, order: list[int], at_once: int) -> None:
        """Messages that are put back have the places they had."""
        backlog = Backlog()
        for number in range(1, 16):
            backlog.push(_message(number, number // 4))
        taken = {each.place: each for each in _hand_out(backlog, 12)}
        backlog.put_back([taken[position] for position in order[:at_once]])
        for position in order[at_once:]:
            backlog.put_back([taken[position]])
        wanted = [(number // 4, number, number % 5 == 0) for number in range(1, 16)]
        self.assertEqual([_told(each) for each in backlog], wanted)
        self.assertEqual(backlog.size, sum(range(1, 16)))

    @given(
        st.lists(st.tuples(st.sampled_from(["push", "pop", "peek"]), st.integers(0, 2)))
    )
    def test_whole_messages(self, steps: list[tuple[str, int]]) -> None:
        """Each message comes out as it came in, whatever envelopes they share."""
        backlog, wanted, number = Backlog(), deque[tuple[int, int, bool]](), 0
        for what, priority in steps:
            if what == "push":
                number += 1
                backlog.push(_message(number, priority))
                wanted.append(_told(_message(number, priority)))
            elif wanted and what == "pop":
                self.assertEqual(_told(backlog.pop()), wanted.popleft())
            elif wanted:
                first = backlog.peek()
                assert first is not None
                self.assertEqual(_told(first), wanted[0])
                self.assertIs(backlog.peek(), first)
            self.assertEqual([_told(each) for each in backlog], list(wanted))
            self.assertEqual(len(backlog), len(wanted))

    @given(st.lists(st.integers(0, 7), max_size=12), st.integers(0, 12))
    def test_priorities(self, priorities: list[int], taken: int) -> None:
        """Messages come by priority, capped, then in their order, if put back, too."""
        backlog = PriorityBacklog(5)
        for number, priority in enumerate(priorities, 1):
            backlog.push(_message(number, priority))
        away = _hand_out(backlog, min(taken, len(backlog)))
        backlog.put_back(away)
        self.assertEqual(len(backlog), len(priorities))
        listed = [_told(each) for each in backlog]
        first = backlog.peek()
        order = [backlog.pop() for _ in range(len(backlog))]
        told = [_told(each) for each in order]
        self.assertEqual(told, sorted(told, key=lambda each: (-each[0], each[1])))
        self.assertEqual(listed, told)
        self.assertEqual(len(order), len(priorities))
        self.assertIs(first, order[0] if order else None)
        self.assertEqual(backlog.size, 0)

    def test_empty(self) -> None:
        """Nothing can be taken where nothing waits."""
        for backlog in (Backlog(), PriorityBacklog(3)):
            self.assertIsNone(backlog.peek())
            self.assertRaises(IndexError, backlog.pop)
            backlog.put_back([])
            self.assertEqual(backlog.clear(), [])
            self.assertEqual(list(backlog), [])
