"""Functions around each publish."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from txkombu import Producer, Queue
from txkombu.exceptions import Unroutable
from txkombu.service import PublisherService
from txkombu.testing import BrokerTestCase


def mark(publish: Any, body: object, options: dict[str, Any]) -> Any:
    """Add a header."""
    headers = {**(options.get("headers") or {}), "mark": 1}
    return publish(body, {**options, "headers": headers})


class PublishMiddlewareTests(BrokerTestCase):
    """Producer(middleware=[...])"""

    def setUp(self) -> None:
        super().setUp()
        self.result_of(Queue("q")(self.connection).declare())

    def test_order(self) -> None:
        """The first is the outermost; each may change body and options."""
        said: list[str] = []

        async def outer(publish: Any, body: Any, options: Any) -> None:
            said.append("outer begins")
            options["headers"] = {"n": 1}
            await publish(body + 1, options)
            said.append("outer ends")

        def inner(publish: Any, body: Any, options: Any) -> Any:
            said.append(f"inner {body} {options['headers']} {options['routing_key']}")
            return publish(body * 10, options)

        producer = Producer(self.connection, middleware=[outer, inner])
        self.result_of(producer.publish(1, "q"))
        self.assertEqual(said, ["outer begins", "inner 2 {'n': 1} q", "outer ends"])
        self.assertEqual(self.published[-1].body, b"20")

    def test_arguments(self) -> None:
        """Positional arguments, keywords and properties are options by their names."""
        seen: list[dict[str, Any]] = []

        def look(publish: Any, body: Any, options: dict[str, Any]) -> Any:
            seen.append(dict(options))
            return publish(body, options)

        producer = Producer(self.connection, middleware=[look])
        self.result_of(
            producer.publish(
                "x", "q", 1, priority=3, correlation_id="c", mandatory=True
            )
        )
        self.assertEqual(
            seen,
            [
                {
                    "routing_key": "q",
                    "delivery_mode": 1,
                    "priority": 3,
                    "correlation_id": "c",
                    "mandatory": True,
                }
            ],
        )
        self.assertEqual(self.published[-1].properties["correlation_id"], "c")

    def test_verdict(self) -> None:
        """The verdict of the broker is that of the publish, which may be awaited."""
        self.broker.hold_confirms()
        producer = Producer(self.connection, middleware=[mark])
        publishing = producer.publish("x", "q")
        self.flush()
        self.assertNoResult(publishing)
        self.broker.release_confirms()
        self.flush()
        self.successResultOf(publishing)
        lost = producer.publish("x", "nowhere", mandatory=True)
        self.flush()
        self.failureResultOf(lost, Unroutable)

    def test_cancelled(self) -> None:
        """Cancelling reaches the publish itself."""
        inner: list[Deferred[None]] = []

        def keep(publish: Any, body: Any, options: Any) -> Any:
            inner.append(publish(body, options))
            return inner[0]

        self.broker.hold_confirms()
        producer = Producer(self.connection, middleware=[keep])
        publishing = producer.publish("x", "q")
        self.flush()
        publishing.cancel()
        self.failureResultOf(publishing, CancelledError)
        self.broker.release_confirms()
        self.flush()

    def test_fails(self) -> None:
        """What it raises, and wrong arguments, fail the publish."""

        def broken(publish: Any, body: Any, options: Any) -> Any:
            raise ValueError("no")

        producer = Producer(self.connection, middleware=[broken])
        self.failureResultOf(producer.publish("x", "q"), ValueError)
        producer = Producer(self.connection, middleware=[mark])
        self.failureResultOf(producer.publish("x", "q", prioriti=1), TypeError)
        self.assertEqual(self.published, [])

    def test_many(self) -> None:
        """publish_all goes through it, too; forward does not."""
        producer = Producer(self.connection, routing_key="q", middleware=[mark])
        self.assertEqual(self.result_of(producer.publish_all(["a", "b"])), 2)
        headers = [each.properties["headers"] for each in self.published]
        self.assertEqual(headers, [{"mark": 1}] * 2)
        message = self.result_of(Queue("q")(self.connection).get())
        assert message is not None
        plain = Producer(self.connection, middleware=[lambda *_: 1 / 0])
        self.result_of(plain.forward(message, routing_key="q"))
        message.ack()

    def test_refused(self) -> None:
        """What cannot be one is refused when the producer is made."""
        wrong: Any = [lambda body: None]
        for make in (Producer, PublisherService):
            error = self.assertRaises(TypeError, make, self.connect(), middleware=wrong)
            self.assertIn("a middleware is called with 3 arguments", str(error))

    def test_classes(self) -> None:
        """It may be a class attribute, and that of a service."""

        class Marking(Producer):
            middleware = (mark,)

        self.result_of(Marking(self.connection).publish("x", "q"))
        service = PublisherService(self.connect(), middleware=[mark])
        service.startService()
        self.addCleanup(self.flush)
        self.addCleanup(service.stopService)
        self.result_of(service.publish("x", "q"))
        self.result_of(service.producer().publish("x", "q"))
        headers = [each.properties["headers"] for each in self.published]
        self.assertEqual(headers, [{"mark": 1}] * 3)
