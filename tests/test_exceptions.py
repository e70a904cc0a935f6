"""Errors: their text, and how they travel."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txkombu import exceptions
from txkombu.exceptions import (
    BrokerError,
    KombuError,
    NotFound,
    NotSentInTime,
    NotSupported,
    OperationTimeout,
    Outcome,
    OutcomeUnknownInTime,
    RemoteError,
    Unroutable,
    broker_error,
    of_second_copy,
)
from txkombu.interfaces import Returned

RETURNED = Returned(312, "NO_ROUTE", "media", "video", b"body", {"message_id": "7"})
ARGUMENTS: dict[type[Exception], tuple[Any, ...]] = {
    NotSupported: ("headers exchange", "stomp", "use a topic"),
    NotSentInTime: ("publish", 2.5, "waiting for room"),
    OperationTimeout: ("connect", 2.5, "handshake"),
    OutcomeUnknownInTime: ("publish", 2.5, "waiting for the verdict"),
    RemoteError: ("ValueError", "no such feed"),
    Unroutable: (RETURNED,),
}
"""What the errors are made with that take more than a text."""


class Refused(BrokerError):
    """An error of a program's own, with an argument by keyword."""

    def __init__(self, *, reason: str, detail: object = None) -> None:
        super().__init__(f"refused for {reason}", code=499, about="q")
        self.detail = detail


def every_error() -> list[KombuError]:
    """Make one of each class, and some with all that they can have."""
    kinds = [getattr(exceptions, name) for name in exceptions.__all__]
    errors = [
        kind(*ARGUMENTS.get(kind, ("what was wrong",)))
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, KombuError)
    ]
    return [
        *errors,
        NotFound("no queue 'q'", class_id=50, method_id=10, about="other"),
        broker_error(404, "NOT_FOUND - no queue 'q'", 50, 10, "q"),
        broker_error(599, "odd", about="x"),
        OperationTimeout("connect", 1),
        Refused(reason="fun", detail={"a": [1]}),
        *second_copies(),
    ]


def second_copies() -> list[KombuError]:
    """Make errors whose outcome is not that of their class."""
    refusals = [Refused(reason="fun"), NotFound("gone"), Unroutable(RETURNED)]
    copies = [of_second_copy(each) for each in refusals]
    return [each for each in copies if isinstance(each, KombuError)]


class TravelTests(SynchronousTestCase):
    """Errors go to other processes, and are copied."""

    def check(self, back: KombuError, error: KombuError) -> None:
        """See that an error is what it was."""
        self.assertIs(type(back), type(error))
        self.assertEqual(str(back), str(error))
        self.assertEqual(repr(back), repr(error))
        self.assertEqual(back.args, error.args)
        self.assertEqual(vars(back), vars(error))

    def test_every_class_is_there(self) -> None:
        """Each class of the module is among those tried here."""
        tried = {type(error) for error in every_error()}
        for name, kind in vars(exceptions).items():
            if isinstance(kind, type) and issubclass(kind, KombuError):
                self.assertIn(kind, tried, name)

    def test_pickled(self) -> None:
        """Each comes back from pickle with the same text and attributes."""
        for error in every_error():
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
                self.check(pickle.loads(pickle.dumps(error, protocol)), error)

    def test_outcome(self) -> None:
        """An outcome of an error's own travels, too, and its class keeps its own."""
        for error in second_copies():
            back = pickle.loads(pickle.dumps(error))
            self.assertIs(back.outcome, Outcome.UNKNOWN)
            self.assertIs(type(error).outcome, Outcome.REFUSED)
        self.assertEqual(len(second_copies()), 3)

    def test_copied(self) -> None:
        """Each can be copied, deeply too."""
        for error in every_error():
            self.check(copy.copy(error), error)
            self.check(copy.deepcopy(error), error)

    def test_twice(self) -> None:
        """A copy of a copy is no other."""
        error = NotFound("no queue", about="q")
        self.check(copy.copy(pickle.loads(pickle.dumps(copy.copy(error)))), error)

    def test_apart(self) -> None:
        """What is added to a copy is not in the other."""
        error = Refused(reason="fun", detail=[])
        other: Any = copy.copy(error)
        other.more = 1
        self.assertFalse(hasattr(error, "more"))
        deep = copy.deepcopy(error)
        deep.detail.append(1)  # type: ignore[attr-defined]  # a list
        self.assertEqual(error.detail, [])


class TextTests(SynchronousTestCase):
    """What errors say."""

    def test_control_characters(self) -> None:
        """Those that a broker wrote are shown, in every class, and kept apart."""
        text = "bad\x1b[2J\r\nforged: \x9b\u202eevil\ud800 caf\u00e9"
        shown = "bad\\x1b[2J\\r\\nforged: \\x9b\\u202eevil\\ud800 caf\u00e9"
        for kind in (KombuError, exceptions.ConnectError, NotFound):
            self.assertIn(shown, str(kind(text)))
        self.assertEqual(NotFound(text).text, text)
        self.assertIn(shown, str(broker_error(320, text)))
        returned = RETURNED._replace(reply_text=text)
        self.assertIn(shown, str(Unroutable(returned)))

    def test_plain_text(self) -> None:
        """Text without them is as it was."""
        self.assertEqual(str(KombuError("caf\u00e9 \u732b")), "caf\u00e9 \u732b")
        self.assertEqual(str(KombuError()), "")
