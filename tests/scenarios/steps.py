"""
The step language of the scenarios, and its interpreter.

A step is a line: optionally the party, then a verb, words, and options.  The party
C{@1a}, the default, is channel a of session 1; C{@2b} is channel b of session 2.  Both
are opened when a step first names them, and again after a loss.

An option is C{name=value}.  The value is JSON if it can be read as JSON, or
C{decimal:1.5}, C{moment:2024-01-01T00:00:00+03:00}, C{bytes:ff00}, C{long:300} for so
many letters, or C{nested:3} for a list in a list in a list.  An option with a hyphen in
its name is an argument; C{h-name} is a header.  A queue called C{?name} is a
server-named queue.  Each step waits for its answer, and may add a line to the
transcript.

- exchange NAME TYPE, xdelete NAME, xbind TO FROM KEY, xunbind TO FROM KEY
- queue NAME, delete NAME, purge NAME, bind QUEUE EXCHANGE KEY, unbind …
- publish EXCHANGE KEY BODY…
- consume QUEUE TAG, cancel TAG, get QUEUE, qos COUNT, recover
- take COUNT: wait for so many deliveries on this channel
- ack BODY, nack BODY, reject BODY; or #NUMBER for a delivery tag
- reply BODY TEXT: publish to the reply_to of the last message with this body
- show BODY: the properties of the last message with this body
- returned COUNT, cancelled COUNT, lost: wait for events that are not answers
- wait MILLISECONDS, close, disconnect, drop
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from tests.scenarios import Row
from tests.scenarios.doing import Doing, Named
from tests.scenarios.parties import ChannelParty, SessionParty
from tests.scenarios.words import describe, divide
from txkombu.exceptions import KombuError
from txkombu.interfaces import ISession, ISessionListener

Step = Generator[Deferred[Any], Any, None]
_QUIET = 0.03
"""
Seconds to wait at the end for anything that should not arrive.
"""


class Scenario:
    """
    Runs one row once.

    @ivar transcript: the outcome.
    """

    def __init__(
        self,
        row: Row,
        clock: IReactorTime,
        connect: Callable[[ISessionListener], Deferred[ISession]],
    ) -> None:
        self._row = row
        self._clock = clock
        self._connect = connect
        self._sessions: dict[str, SessionParty] = {}
        self.named = Named()
        self.transcript: list[str] = []

    @inlineCallbacks
    def run(self) -> Generator[Deferred[Any], Any, list[str]]:
        """
        Run all steps, and then look for what arrived without a step.

        @return: fires with the transcript.
        """
        try:
            for line in self._row.steps:
                yield self._step(line)
            yield self._pause(_QUIET)
            self._unasked()
        finally:
            yield self._clean_up()
        return self.transcript

    @inlineCallbacks
    def _step(self, line: str) -> Step:
        words = shlex.split(line)
        who = words.pop(0)[1:] if words[0].startswith("@") else "1a"
        verb, plain, options = divide(words)
        number, letter = who[0], who[1:] or "a"
        if number not in self._sessions:
            self._sessions[number] = SessionParty(self._clock, self._connect)
        session = self._sessions[number]
        party: ChannelParty = yield session.party(letter)
        doing = Doing(party, session, self.named, self._clock)
        try:
            outcome = yield getattr(doing, f"do_{verb}")(*plain, **options)
        except (KombuError, ValueError) as error:
            outcome = f"fails: {describe(error)}"
            yield self._settled()
            party.losses.take_all()
        if outcome is not None:
            self.transcript.append(f"{line} => {outcome}")

    def _settled(self) -> Deferred[None]:
        """Wait a little for what follows an answer."""
        return self._pause(0.01)

    def _pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds, lambda: None)

    def _unasked(self) -> None:
        for number, session in self._sessions.items():
            for letter, party in session.parties.items():
                for kind, things in party.leftovers().items():
                    self.transcript += [
                        f"@{number}{letter} unasked {kind}: {describe(thing)}"
                        for thing in things
                    ]

    @inlineCallbacks
    def _clean_up(self) -> Step:
        for session in self._sessions.values():
            if session.session is not None:
                yield session.session.close()
                session.forget()
        janitor = SessionParty(self._clock, self._connect)
        party: ChannelParty = yield janitor.party("a")
        assert party.channel is not None
        for queue in self.named.queues.values():
            yield party.channel.queue_delete(queue, False, False)
        for exchange in self.named.exchanges.values():
            yield party.channel.exchange_delete(exchange, False)
        assert janitor.session is not None
        yield janitor.session.close()
