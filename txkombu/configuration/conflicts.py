"""Queues and exchanges that two consumers would declare with different properties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..entity import Exchange, Queue

Entity = Queue | Exchange

_OF_QUEUES: Final = ("durable", "exclusive", "auto_delete", "arguments")
_OF_EXCHANGES: Final = ("type", "durable", "auto_delete", "arguments")


class Declarations:
    """What consumers declare; a broker refuses the same with other properties."""

    def __init__(self) -> None:
        self._known: dict[tuple[type, str], tuple[Entity, str]] = {}

    def add(self, queues: Iterable[Queue], by: str) -> Iterator[str]:
        """
        Add the queues of a consumer that declares them, and their exchanges.

        @param by: the consumer, as errors name it.
        @return: tells of each that another declares with other properties.
        """
        for queue in queues:
            if not queue.no_declare and queue.name:
                yield from self._add(queue, by, "queue", _OF_QUEUES)
            for bound in [] if queue.no_declare else queue.all_bindings():
                if _is_declared(bound.exchange):
                    yield from self._add(bound.exchange, by, "exchange", _OF_EXCHANGES)

    def _add(
        self, entity: Entity, by: str, kind: str, properties: tuple[str, ...]
    ) -> Iterator[str]:
        key = type(entity), entity.name
        known, first = self._known.setdefault(key, (entity, by))
        differ = [
            each for each in properties if getattr(entity, each) != getattr(known, each)
        ]
        if differ:
            told = f"{kind} {entity.name!r} has another {', '.join(differ)}"
            yield f"{told} than {first} declares it with: the broker takes only one"


def _is_declared(exchange: Exchange) -> bool:
    return not (exchange.is_predeclared or exchange.no_declare or exchange.passive)
