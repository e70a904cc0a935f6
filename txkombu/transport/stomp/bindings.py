"""The bindings of one queue, and what is made of them to look things up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from types import TracebackType
from typing import Any, Protocol, TypeVar

from twisted.python.failure import Failure

from .dialect import StompBinding


class BindingIndex(Protocol):
    """What a dialect makes of bindings, to find some of them without a search."""

    def add(self, bound: StompBinding) -> object:
        """Take a binding; may raise what the dialect has to say against it."""

    def discard(self, bound: StompBinding) -> object:
        """Forget a binding that was added."""


_Index = TypeVar("_Index", bound=BindingIndex)


class BindingSet:
    """Bindings in the order they were added, none of them twice."""

    def __init__(self, bindings: Iterable[StompBinding] = ()) -> None:
        self._bindings: dict[int, StompBinding] = {}
        self._alike: dict[object, list[int]] = {}
        self._claims: dict[int, int] = {}
        self._indexes: dict[type[BindingIndex], Any] = {}
        self._numbers = count()
        for each in bindings:
            self.add(each)

    def __iter__(self) -> Iterator[StompBinding]:
        return iter(self._bindings.values())

    def __len__(self) -> int:
        return len(self._bindings)

    def __contains__(self, bound: StompBinding) -> bool:
        return self._find(bound) is not None

    def _find(self, bound: StompBinding) -> int | None:
        alike = self._alike.get(_kind_of(bound), ())
        same = (each for each in alike if self._bindings[each].is_same(bound))
        return next(same, None)

    def add(self, bound: StompBinding) -> bool:
        """Add a binding; return whether there was no such one."""
        if self._find(bound) is not None:
            return False
        number = next(self._numbers)
        self._bindings[number] = bound
        self._alike.setdefault(_kind_of(bound), []).append(number)
        for index in self._indexes.values():
            index.add(bound)
        return True

    def discard(self, bound: StompBinding) -> None:
        """Remove a binding, if it is here."""
        number = self._find(bound)
        if number is not None:
            known = self._bindings.pop(number)
            self._claims.pop(number, None)
            kind = _kind_of(bound)
            self._alike[kind].remove(number)
            if not self._alike[kind]:
                del self._alike[kind]
            for index in self._indexes.values():
                index.discard(known)

    def claim(self, bound: StompBinding) -> None:
        """Add a binding for one more who makes it."""
        self.add(bound)
        number = self._find(bound)
        assert number is not None
        self._claims[number] = self._claims.get(number, 0) + 1

    def release(self, bound: StompBinding) -> None:
        """Remove a binding if nobody else claims it."""
        number = self._find(bound)
        if number is None:
            return
        left = self._claims.get(number, 1) - 1
        if left:
            self._claims[number] = left
        else:
            self.discard(bound)

    def index(self, kind: type[_Index]) -> _Index:
        """Return an index of that kind, which is kept up to date from now on."""
        found: _Index | None = self._indexes.get(kind)
        if found is None:
            found = kind()
            for each in self:
                found.add(each)
            self._indexes[kind] = found
        return found


class KnownBindings:
    """The bindings of a queue that were noted, and then those that it carries."""

    def __init__(self, noted: BindingSet, carried: BindingSet) -> None:
        self._noted = noted
        self._carried = carried

    def __iter__(self) -> Iterator[StompBinding]:
        yield from self._noted
        yield from (each for each in self._carried if each not in self._noted)

    def indexes(self, kind: type[_Index]) -> list[_Index]:
        """Return the indexes that have all of them."""
        return [each.index(kind) for each in (self._noted, self._carried)]


def indexes_of(bindings: Iterable[StompBinding], kind: type[_Index]) -> list[_Index]:
    """Return indexes that have all of some bindings, kept ones if there are any."""
    if isinstance(bindings, KnownBindings):
        return bindings.indexes(kind)
    return [BindingSet(bindings).index(kind)]


class BindingInProgress:
    """
    A binding that is being made: it is noted, and forgotten unless it is made.

    As a context manager it is made if there is no error in the context.
    """

    def __init__(self, forget: Callable[[], object]) -> None:
        self._forget: Callable[[], object] | None = forget

    def __enter__(self) -> None:
        """Begin to make it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._give_up()
        self._forget = None

    def failed(self, failure: Failure) -> Failure:
        """Forget it, unless it was made: what followed may have failed."""
        self._give_up()
        return failure

    def _give_up(self) -> None:
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()


def _kind_of(bound: StompBinding) -> object:
    """Return what is equal for bindings that are the same, and mostly else differs."""
    arguments = frozenset(
        (name, _hash_of(value)) for name, value in bound.arguments.items()
    )
    return bound.exchange.name, bound.routing_key, arguments


def _hash_of(value: object) -> int:
    try:
        return hash(value)
    except TypeError:  # a list or table
        return 0
