"""
Replies to addresses that make the broker fail.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txkombu import Message
from txkombu.exceptions import InternalError, OutcomeUnknown, SessionLost
from txkombu.rpc import reply_sender
from txkombu.rpc.reply_sender import ReplySender


class Request:
    """A request with an address; notes the replies that are sent."""

    def __init__(self, address: str) -> None:
        self.reply_to = address
        self.sent: list[Deferred[None]] = []

    def respond(self, body: object, **options: Any) -> Deferred[None]:
        """Publish a reply, as far as the test is concerned."""
        self.sent.append(Deferred())
        return self.sent[-1]


def broker_failure() -> OutcomeUnknown:
    """Return what a publish fails with if the broker failed meanwhile."""
    error = OutcomeUnknown("sent, but the session ended")
    error.__cause__ = SessionLost("the session ended")
    error.__cause__.__cause__ = InternalError("INTERNAL_ERROR")
    return error


class ReplySenderTests(SynchronousTestCase):
    """Suspects are sent one at a time; what fails again then is not sent any more."""

    def setUp(self) -> None:
        self.sender = ReplySender()
        self.innocent, self.harmful = Request("innocent"), Request("harmful")

    def send(self, request: Request) -> Deferred[None]:
        """Send a reply."""
        sending = self.sender.send(cast(Message, request), "reply")
        return Deferred.fromCoroutine(sending)

    def fail_both(self) -> None:
        """Have the broker fail while both are under way."""
        sending = [self.send(self.harmful), self.send(self.innocent)]
        for request in (self.harmful, self.innocent):
            request.sent[-1].errback(broker_failure())
        for each in sending:
            self.failureResultOf(each, OutcomeUnknown)

    def test_one_at_a_time(self) -> None:
        """After a failure its suspects wait for each other."""
        self.fail_both()
        first, second = self.send(self.harmful), self.send(self.innocent)
        other = Request("other")
        self.send(other)
        counts = [len(each.sent) for each in (self.harmful, self.innocent, other)]
        self.assertEqual(counts, [2, 1, 1])
        self.harmful.sent[-1].errback(broker_failure())
        self.failureResultOf(first, OutcomeUnknown)
        self.innocent.sent[-1].callback(None)
        self.successResultOf(second)
        self.assertEqual(len(self.innocent.sent), 2)

    def test_no_third_time(self) -> None:
        """What failed alone is not sent again, which is logged; the other is."""
        self.fail_both()
        for request in (self.harmful, self.innocent):
            sending = self.send(request)
            if request is self.harmful:
                request.sent[-1].errback(broker_failure())
                self.failureResultOf(sending, OutcomeUnknown)
            else:
                request.sent[-1].callback(None)
                self.successResultOf(sending)
        self.successResultOf(self.send(self.harmful))
        self.assertEqual(len(self.harmful.sent), 2)
        both = [self.send(self.innocent), self.send(self.innocent)]
        self.assertEqual(len(self.innocent.sent), 4)  # no suspect any more
        for each in self.innocent.sent[2:]:
            each.callback(None)
        for each in both:
            self.successResultOf(each)

    def test_other_failures(self) -> None:
        """Another loss makes no suspects."""
        for _ in range(3):
            sending = self.send(self.harmful)
            self.harmful.sent[-1].errback(OutcomeUnknown("the network was cut"))
            self.failureResultOf(sending, OutcomeUnknown)
        both = [self.send(self.harmful), self.send(self.harmful)]
        self.assertEqual(len(self.harmful.sent), 5)
        for each in both:
            self.assertNoResult(each)

    def test_bounded(self) -> None:
        """Only so many addresses are remembered."""
        self.patch(reply_sender, "_MAX_NOTED", 2)
        requests = [Request(str(number)) for number in range(3)]
        for request in requests:
            sending = self.send(request)
            request.sent[-1].errback(broker_failure())
            self.failureResultOf(sending, OutcomeUnknown)
        for request in requests:
            self.send(request)
        # The oldest is no suspect any more, and of the others one waits.
        self.assertEqual([len(each.sent) for each in requests], [2, 2, 1])
