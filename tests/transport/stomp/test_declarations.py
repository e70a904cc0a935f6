"""The bindings that a session over STOMP knows."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txkombu.entity import Exchange
from txkombu.transport.stomp.declarations import BindingSet
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
