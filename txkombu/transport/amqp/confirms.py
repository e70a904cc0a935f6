"""
Publishes that await their confirm (RabbitMQ's "Publisher Confirms").

From confirm.select on the broker numbers every publish of the channel, and answers each
number, or all up to one, with basic.ack or basic.nack.  A mandatory message that no
queue receives comes back by basic.return, which carries no number, before its ack.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...exceptions import Nacked, Unroutable
from ...interfaces import Returned
from .wire.errors import Target

_Kind = tuple[str, str, object]
"""What a returned message is known by: exchange, routing key, message id."""


class _Verdict(Deferred[None]):
    """
    What a publish fires that somebody waits for.

    @ivar number: of the publish.
    @ivar target: where it goes.
    """

    number: int
    target: Target


class Confirms:
    """
    The publishes of one channel that await a verdict, by number.

    One that was cancelled is forgotten, since a broker may never give its verdict; but
    a mandatory one may still come back.

    @ivar selected: whether the broker was told to confirm.
    """

    __slots__ = (
        "_alike",
        "_cancelled",
        "_mandatory",
        "_number",
        "_returned",
        "_unplaced",
        "_unwaited",
        "_unwritten",
        "_waiting",
        "selected",
    )

    def __init__(self) -> None:
        self.selected = False
        self._unwritten = 0
        self._number = 0
        self._cancelled = self._forget  # to bind it once costs less
        self._unwaited: int | None = None
        self._waiting: dict[int, _Verdict] = {}
        self._mandatory: dict[int, _Kind] = {}
        # Ordered, since the first of a dict from which many were removed is far away.
        self._alike: dict[_Kind, int | OrderedDict[int, None]] = {}
        self._returned: dict[int, Returned] = {}
        self._unplaced: dict[_Kind, list[Returned]] = {}

    def select(self) -> None:
        """Note that the broker is told to confirm."""
        self.selected = True

    def count(self) -> None:
        """Note a publish whose verdict nobody waits for."""
        if self.selected:
            self._number += 1
        self._unwaited = self._number

    def expect_confirm(self, exchange: str, routing_key: str) -> Deferred[None]:
        """
        Note a publish whose verdict somebody waits for.

        @return: fires with C{None} when the broker has confirmed the message; fails
            with L{Unroutable} or L{Nacked}.
        """
        verdict = _Verdict(self._cancelled)
        self._number = verdict.number = number = self._number + 1
        verdict.target = exchange, routing_key
        self._waiting[number] = verdict
        return verdict

    def _forget(self, verdict: Deferred[Any]) -> None:
        """Forget a publish whose verdict was cancelled."""
        assert isinstance(verdict, _Verdict)
        number = verdict.number
        if self._waiting.pop(number, None) is not None:
            self._returned.pop(number, None)
            self._unwaited = max(number, self._unwaited or 0)

    # --- mandatory ones ------------------------------------------------------

    def may_return(self, message_id: object) -> None:
        """Note that the last publish is mandatory."""
        number = self._number
        kind = *self._waiting[number].target, message_id
        self._mandatory[number] = kind
        alike = self._alike.get(kind)
        if alike is None:
            self._alike[kind] = number
            return
        if isinstance(alike, int):
            alike = self._alike[kind] = OrderedDict({alike: None})
        alike[number] = None

    def _forget_mandatory(self, number: int) -> None:
        kind = self._mandatory.pop(number, None)
        if kind is None:
            return
        alike = self._alike[kind]
        if not isinstance(alike, int):
            del alike[number]
            if alike:
                return
        del self._alike[kind]
        self._unplaced.pop(kind, None)

    def give_back(self, message: Returned) -> bool:
        """
        Note that a message came back.

        Of several publishes that are alike it is about the one that is settled next: a
        return comes right before the confirm of its message, and messages that went to
        queues may be confirmed later than others after them.

        @return: whether it is that of a publish without a verdict.
        """
        message_id = message.properties.get("message_id")
        kind = message.exchange, message.routing_key, message_id
        alike = self._alike.get(kind)
        if alike is None:
            return False
        if not isinstance(alike, int):
            self._unplaced.setdefault(kind, []).append(message)
            return True
        if alike in self._waiting:
            self._returned[alike] = message
        self._forget_mandatory(alike)
        return True

    def _place(self, numbers: Iterable[int]) -> None:
        """Find the publishes of what came back among those that are settled now."""
        for number in sorted(numbers, reverse=True):  # the newest were returned last
            kind = self._mandatory.get(number)
            unplaced = None if kind is None else self._unplaced.get(kind)
            if unplaced:
                returned = unplaced.pop()
                if number in self._waiting:
                    self._returned[number] = returned

    # --- verdicts ------------------------------------------------------------

    def settle(self, number: int, multiple: bool, taken: bool) -> None:
        """
        Take a confirm or nack.

        @param number: the publish's; with C{multiple}, 0 is all of them.
        @param multiple: it is about all publishes up to that number.
        @param taken: it is a confirm.
        """
        plain = taken and not (self._mandatory or self._returned)  # as nearly always
        if plain and not multiple:
            verdict = self._waiting.pop(number, None)
            if verdict is None:
                self._note_handled(number)
            else:
                verdict.callback(None)
            return
        last = number or self._number
        self._note_handled(last)
        numbers = _up_to(last, self._waiting) if multiple else [number]
        if not plain:
            if multiple:  # mandatory ones that were cancelled wait no longer
                numbers += _up_to(last, self._mandatory)
            self._settle_each(dict.fromkeys(numbers), taken)
            return
        for verdict in [self._waiting.pop(each) for each in numbers]:
            if not verdict.called:  # the one before may have cancelled it
                verdict.callback(None)

    def _settle_each(self, numbers: Iterable[int], taken: bool) -> None:
        if self._unplaced:
            self._place(numbers)
        for verdict, returned in [self._pop(each) for each in numbers]:
            if verdict is None or verdict.called:
                continue
            if returned is not None:
                verdict.errback(Failure(Unroutable(returned)))
            elif taken:
                verdict.callback(None)
            else:
                verdict.errback(Failure(_nacked(*verdict.target)))

    def _pop(self, number: int) -> tuple[_Verdict | None, Returned | None]:
        self._forget_mandatory(number)
        return self._waiting.pop(number, None), self._returned.pop(number, None)

    def note_selected(self, _: object) -> None:
        """Note that the broker has handled what was published before L{select}."""
        self._note_handled(0)

    def _note_handled(self, number: int) -> None:
        """Note that the broker, which goes by their order, got to this publish."""
        if self._unwaited is not None and self._unwaited <= number:
            self._unwaited = None

    # --- the end -------------------------------------------------------------

    def note_unwritten(self) -> None:
        """Note that the last publish, or one more before it, was not written."""
        self._unwritten += 1

    @property
    def all_waited(self) -> bool:
        """Whether the broker has handled all publishes but those that wait here."""
        return self._unwaited is None

    def targets(self) -> list[Target]:
        """Return where the publishes go that wait here, in their order."""
        return [verdict.target for verdict in self._waiting.values()]

    def drain(self, error_of: Callable[[Target, bool], Exception]) -> None:
        """
        Fail all, in their order: the channel is over.

        @param error_of: returns the error of a publish, given where it goes, and
            whether it was written.
        """
        waiting = list(self._waiting.values())
        for kept in (
            self._waiting,
            self._mandatory,
            self._alike,
            self._returned,
            self._unplaced,
        ):
            kept.clear()
        last_written = self._number - self._unwritten
        for verdict in waiting:
            if not verdict.called:
                error = error_of(verdict.target, verdict.number <= last_written)
                verdict.errback(Failure(error))


def _nacked(exchange: str, routing_key: str) -> Nacked:
    return Nacked(
        f"the broker did not take a message to exchange {exchange!r} with routing key "
        f"{routing_key!r}"
    )


def _up_to(last: int, numbers: Mapping[int, object]) -> list[int]:
    """Return the numbers up to one; they are in their order."""
    found = []
    for each in numbers:
        if each > last:
            break
        found.append(each)
    return found
