"""Arguments of a consumer that its class gives as attributes."""

from __future__ import annotations

from typing import Any

from txkombu import Consumer, Message, Queue, policy
from txkombu.testing import BrokerTestCase


def note(message: Message, failure: object) -> None:
    """Reject a message."""
    message.reject()


class Failing(Consumer):
    """Fails."""

    queues = Queue("failing")

    def receive(self, body: object, message: Message) -> None:
        """Fail."""
        raise ValueError(body)


class ClassAttributeTests(BrokerTestCase):
    """Functions, policies and methods."""

    def test_functions(self) -> None:
        """A function is used as it is, and not bound to the consumer."""
        for function in (policy.reject, policy.drop, policy.requeue_once, note):
            made = type("Made", (Failing,), {"on_failure": function})(self.connection)
            self.assertIs(made.on_failure, function)

    def test_policies(self) -> None:
        """So is a policy that is an object."""
        for each in (policy.retry(2), policy.park("parked"), policy.halt):
            made = type("Made", (Failing,), {"on_failure": each})(self.connection)
            self.assertIs(made.on_failure, each)

    def test_called(self) -> None:
        """It decides on messages, also if a parent class has it."""

        class Rejecting(Failing):
            on_failure = policy.reject  # type: ignore[assignment]  # for a method

        class Child(Rejecting):
            """Inherits the policy."""

        consumer = Child(self.connection)
        self.result_of(consumer.consume())
        producer = self.connection.Producer(routing_key="failing")
        self.result_of(producer.publish("x"))
        self.flush()
        self.assertEqual(consumer.running, 0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.broker.waiting_in("failing"), 0)

    def test_methods(self) -> None:
        """A method is bound, and called with the consumer as self."""
        called: list[tuple[object, object]] = []

        class Own(Failing):
            def on_failure(self, message: Message, failure: object) -> object:
                called.append((self, message.payload))
                return message.reject()

        consumer: Any = Own(self.connection)
        self.result_of(consumer.consume())
        producer = self.connection.Producer(routing_key="failing")
        self.result_of(producer.publish("x"))
        self.flush()
        self.assertEqual(called, [(consumer, "x")])

    def test_given(self) -> None:
        """An argument wins."""
        made = type("Made", (Failing,), {"on_failure": note})(
            self.connection, on_failure=policy.drop
        )
        self.assertIs(made.on_failure, policy.drop)

    def test_wrong(self) -> None:
        """One that cannot be called so is refused, with an error that can be read."""
        made = type("Made", (Failing,), {"on_failure": lambda message: None})
        error = self.assertRaises(TypeError, made, self.connection)
        self.assertIn("on_failure is called with 2 arguments", str(error))

    def test_wrong_methods(self) -> None:
        """A method that takes too few is told when the consumer is made."""

        class Short(Consumer):
            queues = Queue("failing")

            def receive(self, message: Message) -> None:  # type: ignore[override]  # too few
                """Forget the body."""

        class Failure(Failing):
            def on_failure(self, message: Message) -> None:  # type: ignore[override]  # too few
                """Forget the failure."""

        for name, cls in (("receive", Short), ("on_failure", Failure)):
            error = self.assertRaises(TypeError, cls, self.connection)
            self.assertIn(f"{name} is called with 2 arguments", str(error))
