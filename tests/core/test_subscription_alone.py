"""
A consumer that its transport ends by itself, while the session channel lives.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from tests.core.test_subscription import SubscriptionTestCase
from tests.support.fakes import FakeSession, delivery
from txkombu import Queue
from txkombu.exceptions import (
    AuthenticationFailed,
    ChannelClosed,
    ConsumerCancelled,
    OperationTimeout,
    ResourceError,
    SessionLost,
)
from txkombu.interfaces import ISessionChannel, ISessionChannelListener
from txkombu.message import Message

_EXITS = (SystemExit, KeyboardInterrupt, GeneratorExit, ZeroDivisionError)


class MuteSession(FakeSession):
    """A session whose first channel does not answer basic_consume."""

    def open_channel(
        self, listener: ISessionChannelListener
    ) -> Deferred[ISessionChannel]:
        opening = super().open_channel(listener)
        del self.channels[0].answers["basic_consume"]
        self.open_channel = super().open_channel  # type: ignore[method-assign]  # only the first channel
        return opening


class StartAgainTests(SubscriptionTestCase):
    """A consumer that ends while it is being started again."""

    def lose_and_wait(self) -> None:
        """Lose the session; the next one does not answer the consumer."""
        accept = self.accept
        self.accept = self.accept_mute  # type: ignore[method-assign]  # replaced for this loss
        self.lose()
        self.accept = accept  # type: ignore[method-assign]  # as it was
        self.assertFalse(self.consumed()[-1].reply.called)

    def accept_mute(self, prompt: bool = True) -> FakeSession:
        """Let the last attempt to connect succeed, with a MuteSession."""
        session = MuteSession(prompt)
        self.transport.attempts[-1].succeed(session)
        return session

    def answer_from_now(self) -> None:
        """Let the session answer basic_consume."""
        self.session.channels[0].answers["basic_consume"] = None

    def test_lost_alone(self) -> None:
        """
        A consumer that loses its own connection before it runs is started again, as
        nothing else is lost that would start it.
        """
        for error in (SessionLost("its own"), ChannelClosed("its own")):
            self.setUp()
            self.consume()
            self.lose_and_wait()
            with capturedLogs() as events:
                self.consumed()[-1].fail(error)
            texts = [formatEvent(event) or "" for event in events]
            self.assertEqual(len(texts), 1)
            self.assertIn("cannot consume from queue 'video': its own", texts[0])
            self.answer_from_now()
            self.clock.advance(1)
            self.assertConsumes()
            self.end()

    def test_lost_alone_again_and_again(self) -> None:
        """It is tried again as often as that happens, with growing waits."""
        self.consume()
        self.lose_and_wait()
        for wait in (1, 2, 4):
            self.consumed()[-1].fail(SessionLost("its own"))
            self.clock.advance(wait - 0.1)
            self.assertTrue(self.consumed()[-1].reply.called)
            self.clock.advance(0.1)
            self.assertFalse(self.consumed()[-1].reply.called)
        self.consumed()[-1].succeed()
        self.assertConsumes()
        self.end()

    def test_no_channel(self) -> None:
        """
        If its channel cannot get a connection, that is logged without a traceback, and
        tried again; a fault of the library has a traceback.
        """
        for error in (
            ResourceError("cannot open one more connection"),
            AuthenticationFailed("not now"),
            OperationTimeout("opening", 10),
            ZeroDivisionError(),
        ):
            self.setUp()
            self.consume()
            with capturedLogs() as events:
                self.session.answers["open_channel"] = error
                self.own.die(ChannelClosed("lost"))
                self.clock.advance(1)
            told = [each for each in events if "Channel cannot" in each["log_format"]]
            self.assertTrue(told)
            ours = isinstance(error, ZeroDivisionError)
            for event in told:
                self.assertIn("trying again", event["log_format"])
                self.assertEqual("log_failure" in event, ours)
            del self.session.answers["open_channel"]
            self.clock.advance(10)
            self.session.channels[0] = self.session.channels[-1]
            self.assertConsumes()
            self.end()
            self.flushLoggedErrors()

    def test_session_lost_behind(self) -> None:
        """If the session is lost then, too, there is one consumer, not two."""
        self.consume()
        self.lose_and_wait()
        self.consumed()[-1].fail(SessionLost("its own, and soon all"))
        self.session.lost = True
        self.transport.attempts[-1].listener.session_lost(SessionLost("cut"))
        self.own.die(SessionLost("cut"))
        self.clock.advance(2)
        self.session = self.accept()
        self.clock.advance(30)
        self.assertEqual(len(self.consumed()), 1)
        self.assertConsumes()
        self.end()

    def test_ended_before_its_word(self) -> None:
        """
        A consumer that the broker ends before it confirms the start is not running, and
        is started again.
        """
        self.consume()
        self.lose_and_wait()
        self.cancel_by_broker()
        self.consumed()[-1].succeed()
        self.assertFalse(self.channel.is_consuming)
        self.answer_from_now()
        self.clock.advance(1)
        self.assertConsumes()
        self.end()

    def test_ended_before_its_word_when_restarted(self) -> None:
        """
        A restarted consumer that the broker ends before it confirms the start is
        started again.
        """
        self.consume()
        self.own.answers.pop("basic_consume")
        self.cancel_by_broker()
        self.clock.advance(1)
        self.cancel_by_broker(ConsumerCancelled("deleted once more"))
        self.consumed()[-1].succeed()
        self.assertFalse(self.channel.is_consuming)
        self.own.answers["basic_consume"] = None
        self.clock.advance(2)
        self.assertConsumes()
        self.assertEqual(len(self.cancelled), 2)
        self.end()


class UsersCodeTests(SubscriptionTestCase):
    """Whatever a user's code raises, the consumer lives."""

    def test_on_cancel_exits(self) -> None:
        """Any exception of on_cancel is logged, and the consumer is started again."""
        for kind in _EXITS:
            self.setUp()

            def on_cancel(
                tag: str, error: Exception, kind: type[BaseException] = kind
            ) -> None:
                raise kind

            self.consume()._on_cancel = on_cancel
            self.cancel_by_broker()
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError, kind)), 1)
            self.clock.advance(1)
            self.assertConsumes()
            self.end()

    def test_on_cancel_exits_later(self) -> None:
        """
        Any exception of a coroutine on_cancel is logged, and the consumer is started
        again.
        """

        async def on_cancel(tag: str, error: Exception) -> None:
            raise SystemExit("enough")

        self.consume()._on_cancel = on_cancel
        self.cancel_by_broker()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.advance(1)
        self.assertConsumes()
        self.end()

    def test_callback_exits(self) -> None:
        """An exception while a message is handled never reaches the transport."""
        for kind in _EXITS:
            self.setUp()

            def receive(message: Message, kind: type[BaseException] = kind) -> None:
                raise kind

            consuming = self.channel.consume(Queue("audio"), receive)
            self.successResultOf(consuming)
            self.consumed()[-1].arguments[6](delivery(1))
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
            self.end()
