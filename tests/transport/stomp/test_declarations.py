"""The bindings that a session over STOMP knows."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txkombu.entity import Exchange, Queue, binding
from txkombu.transport.stomp.bindings import BindingSet
from txkombu.transport.stomp.declarations import Declarations
from txkombu.transport.stomp.dialect import StompBinding

EXCHANGE = Exchange("x", "headers")


def _bound(**arguments: object) -> StompBinding:
    return StompBinding(EXCHANGE, "key", arguments)


class BindingSetTests(SynchronousTestCase):
    """Bindings, none of them twice."""

    def test_none_twice(self) -> None:
        """A binding that is the same to the broker is not added."""
        bindings = BindingSet()
        for same in (
            [_bound(), _bound()],
            [_bound(a=1), _bound(a=1.0), _bound(a=True)],
            [_bound(a=[1]), _bound(a=[1.0])],
            [_bound(a={"b": 1}), _bound(a={"b": 1})],
            [
                StompBinding(Exchange("x"), "other", {}),
                StompBinding(EXCHANGE, "other", {}),
            ],
        ):
            added = [bindings.add(each) for each in same]
            self.assertEqual(added, [True] + [False] * (len(same) - 1))
        self.assertEqual(len(list(bindings)), 5)

    def test_discard(self) -> None:
        """A binding that is removed can be added again, behind the others."""
        first, second, third = _bound(a=[1]), _bound(a=[2]), _bound()
        bindings = BindingSet([first, second, third, first])
        bindings.discard(_bound(a=[1]))
        bindings.discard(_bound(a=[9]))
        self.assertEqual(list(bindings), [second, third])
        self.assertTrue(bindings.add(first))
        self.assertEqual(list(bindings), [second, third, first])


class _Keys:
    """An index of the keys of bindings."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def add(self, bound: StompBinding) -> None:
        self.keys.append(bound.routing_key)

    def discard(self, bound: StompBinding) -> None:
        self.keys.remove(bound.routing_key)


class IndexTests(SynchronousTestCase):
    """What is made of bindings to look things up."""

    def setUp(self) -> None:
        self.declarations = Declarations(set())
        self.feed = Exchange("feed", "topic")

    def keys(self, queue: Queue) -> list[str]:
        """The keys that the indexes of a queue have."""
        found = self.declarations.bindings(queue).indexes(_Keys)
        return [key for index in found for key in index.keys]

    def test_kept(self) -> None:
        """It has what was bound before and after it was asked for first."""
        queue, noted = Queue("q"), [StompBinding(self.feed, key, {}) for key in "ab"]
        for number, bound in enumerate(noted):
            self.declarations.bound("q", bound)
            self.assertEqual(self.keys(queue), ["a", "b"][: number + 1])
        self.declarations.unbound("q", noted[0])
        self.assertEqual(self.keys(queue), ["b"])
        self.declarations.deleted("q")
        self.assertEqual(self.keys(queue), [])

    def test_carried(self) -> None:
        """It has what a queue carries, and nothing of another of that name."""
        first, second = (
            Queue("q", bindings=[binding(self.feed, key)]) for key in ("a", "b")
        )
        for _ in range(2):
            self.assertEqual(self.keys(first), ["a"])
            self.assertEqual(self.keys(second), ["b"])

    def test_carried_by_name(self) -> None:
        """An exchange that is known by its name is what was declared last."""
        queue = Queue("q", bindings=[binding("feed", "a")])
        for kind in ("topic", "direct"):
            self.declarations.declared(Exchange("feed", kind))
            [known] = self.declarations.bindings(queue)
            self.assertEqual(known.exchange.type, kind)
