"""The endpoint of a service: what it answers, and how it begins and ends."""

from __future__ import annotations

import json
import sys
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock, StringTransport

from txkombu import Consumer, Message, Producer, Queue, __version__
from txkombu.monitoring import MonitoringService
from txkombu.monitoring.service import EndpointNotBound
from txkombu.policy import retry
from txkombu.service import ConsumerService, PublisherService
from txkombu.testing import BrokerTestCase


class Worker(Consumer):
    """Fails with each message."""

    queues = Queue("work")
    prefetch_count = 1
    on_failure = retry(delay=60)

    def receive(self, body: object, message: Message) -> object:
        """Fail."""
        raise ValueError(body)


class Refusing(MemoryReactorClock):
    """A reactor without free ports."""

    def listenTCP(self, *arguments: Any, **options: Any) -> Any:
        """Raise."""
        raise CannotListenError("127.0.0.1", 8080, OSError(98, "Address in use"))


class EndpointCase(BrokerTestCase):
    """Has a service with an endpoint, not started."""

    def setUp(self) -> None:
        super().setUp()
        self.publisher = PublisherService(self.connect())
        self.service = ConsumerService(
            self.connect(name="app@here:1/consumers"), Worker, publisher=self.publisher
        )
        self.reactor = self.make_reactor()
        self.monitoring = MonitoringService(
            self.service, "tcp:8080:interface=127.0.0.1", self.reactor
        )
        self.addCleanup(self.end)

    def make_reactor(self) -> Any:
        return MemoryReactorClock()

    def start(self) -> None:
        self.service.startService()
        self.monitoring.startService()
        self.flush()

    def end(self) -> None:
        self.monitoring.stopService()
        self.service.stopService()
        self.flush()

    def send(self, request: bytes) -> bytes:
        """Return the answer to the bytes of a request."""
        ((_, site, *_),) = self.reactor.tcpServers
        protocol, transport = site.buildProtocol(None), StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(request)
        answer: bytes = transport.value()
        protocol.connectionLost(None)
        return answer

    def ask(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        """Return the status, the headers and the body of an answer."""
        answer = self.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = answer.decode().partition("\r\n\r\n")
        first, _, headers = head.partition("\r\n")
        return int(first.split()[1]), headers.lower(), body


class AnswerTests(EndpointCase):
    """What it answers."""

    def test_well(self) -> None:
        """A service that consumes is live and ready."""
        self.start()
        self.assertEqual(self.ask("/live")[::2], (200, "live\n"))
        self.assertEqual(self.ask("/ready")[::2], (200, "ready\n"))
        self.assertIn("content-type: text/plain", self.ask("/ready")[1])
        self.assertIn("cache-control: no-store", self.ask("/ready")[1])

    def test_not_ready(self) -> None:
        """After a loss it is live and not ready, with one line for each reason."""
        self.start()
        self.service.connection.drop()
        self.publisher.connection.drop()
        self.assertEqual(self.ask("/live")[0], 200)
        status, _, body = self.ask("/ready")
        self.assertEqual(status, 503)
        first, second = body.splitlines()
        self.assertIn("consumer Worker does not consume", first)
        self.assertIn("the publisher is not connected", second)
        self.advance(10)
        self.assertEqual(self.ask("/ready")[0], 200)

    def test_stuck(self) -> None:
        """A consumer that is stuck is shown, and does not make it unready."""
        self.start()
        producer = Producer(self.connection, routing_key="work")
        self.result_of(producer.publish(1))
        self.flush()
        self.flushLoggedErrors(ValueError)
        status, _, body = self.ask("/ready")
        self.assertEqual(status, 200)
        first, second = body.splitlines()
        self.assertEqual(first, "ready")
        self.assertIn("consumer Worker is stuck", second)

    def test_halted(self) -> None:
        """A service that has halted is neither live nor ready, and says why."""
        self.start()
        self.service.halt(ValueError("no disk"))
        self.flush()
        self.flushLoggedErrors(ValueError)
        for path in ("/live", "/ready"):
            status, _, body = self.ask(path)
            self.assertEqual(status, 503)
            self.assertEqual(body, "the service has halted: ValueError: no disk\n")

    def test_status(self) -> None:
        """The status is JSON of all that is known."""
        self.start()
        self.reactor.advance(5)
        status, headers, body = self.ask("/status")
        self.assertEqual(status, 200)
        self.assertIn("content-type: application/json", headers)
        told = json.loads(body)
        self.assertEqual(told["versions"]["txkombu"], __version__)
        self.assertEqual(set(told["versions"]), {"txkombu", "twisted", "python"})
        self.assertEqual(told["uptime"], 5)
        self.assertEqual(told["ready"], True)
        self.assertEqual(told["connection"]["name"], "app@here:1/consumers")
        self.assertEqual(told["connection"]["state"], "connected")
        self.assertEqual(told["publisher"]["unconfirmed"], 0)
        self.assertEqual(
            told["consumers"],
            [
                {
                    "name": "Worker",
                    "queues": ["work"],
                    "consuming": True,
                    "running": 0,
                    "retrying": 0,
                    "stuck": False,
                    "last_delivery": None,
                    "last_error": None,
                }
            ],
        )
        self.service.connection.drop()
        told = json.loads(self.ask("/status")[2])
        self.assertEqual(told["ready"], False)
        self.assertIn("SessionLost: ", told["last_error"])

    def test_metrics(self) -> None:
        """The metrics are in Prometheus' text format, with those of the process."""
        self.start()
        status, headers, body = self.ask("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("content-type: text/plain; version=", headers)
        self.assertIn("txkombu_ready 1.0\n", body)
        self.assertIn("# TYPE python_info gauge\n", body)

    def test_head(self) -> None:
        """HEAD is answered as GET, without a body."""
        self.start()
        for path in ("/live", "/ready", "/metrics", "/status", "/nothing"):
            status, headers, body = self.ask(path, "HEAD")
            self.assertEqual((status, body), (self.ask(path)[0], ""))
            self.assertNotIn("content-length: 0", headers)

    def test_other_methods(self) -> None:
        """Every other method is refused, for any path."""
        self.start()
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
            for path in ("/live", "/metrics", "/nothing"):
                status, headers, _ = self.ask(path, method)
                self.assertEqual(status, 405)
                self.assertIn("allow: get, head", headers)

    def test_unknown_paths(self) -> None:
        """Other paths list the four that there are."""
        self.start()
        for path in ("/", "/nothing", "/live/", "/ready/x", "//live", "/LIVE", "/../x"):
            status, _, body = self.ask(path)
            self.assertEqual(status, 404, path)
            self.assertEqual(body, "there are /live, /ready, /metrics, /status\n")

    def test_nothing_reflected(self) -> None:
        """Nothing of a request comes back, and its body is not kept."""
        self.start()
        for line in (
            b"GET /evil?evil=evil#evil HTTP/1.1",
            b"EVIL /live HTTP/1.1",
            b"GET /live?evil HTTP/1.1",
            b"GET evil HTTP/1.1",
            b"GET http://evil/evil HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"GET /evil HTTP/evil",
            b"evil",
        ):
            answer = self.send(
                line + b"\r\nHost: evil\r\nX-Evil: evil\r\nReferer: evil\r\n"
                b"Content-Length: 4\r\n\r\nevil"
            )
            self.assertNotIn(b"evil", answer.lower(), line)

    def test_no_password(self) -> None:
        """No page has the password of the broker."""
        service = ConsumerService("amqp://ann:s3cret@nowhere.invalid//", Worker)
        self.monitoring = MonitoringService(service, "tcp:1", self.reactor)
        self.monitoring.startService()
        for path in ("/ready", "/status", "/metrics"):
            self.assertNotIn("s3cret", self.ask(path)[2])
        self.assertIn("ann:**@", self.ask("/status")[2])


class LifeTests(EndpointCase):
    """How it begins and ends."""

    def test_ends_after_the_service(self) -> None:
        """It answers that the service stops until that has stopped."""
        self.start()
        stopping = self.monitoring.stopService()
        self.assertNoResult(stopping)
        self.assertEqual(self.ask("/ready")[0], 200)
        self.service.stopService()
        self.assertEqual(self.ask("/ready")[2], "the service is not running\n")
        self.flush()
        self.assertIsNone(self.successResultOf(stopping))
        self.assertIsNone(self.monitoring.port)

    def test_wrong_endpoint(self) -> None:
        """An endpoint that cannot be understood is refused when it is made."""
        for wrong in ("8080", "tpc:8080", "tcp:port", ""):
            with self.assertRaises(ValueError):
                MonitoringService(self.service, wrong, self.reactor)

    def test_without_prometheus(self) -> None:
        """The error for the library that is missing says how to install it."""
        ours = [f"txkombu.monitoring.{name}" for name in ("metrics", "resource")]
        taken = {name: sys.modules.pop(name) for name in (*ours, "prometheus_client")}
        self.addCleanup(sys.modules.update, taken)
        sys.modules["prometheus_client"] = None  # type: ignore[assignment]  # missing
        with self.assertRaises(ImportError) as caught:
            MonitoringService(self.service, "tcp:1", self.reactor)
        self.assertIn("pip install 'txkombu[metrics]'", str(caught.exception))


class NotBoundTests(EndpointCase):
    """A port that is taken."""

    def make_reactor(self) -> Any:
        return Refusing()

    def test_halts(self) -> None:
        """It halts the service, with an error that names the endpoint."""
        self.start()
        error = self.service.halted
        self.assertIsInstance(error, EndpointNotBound)
        self.assertIn("'tcp:8080:interface=127.0.0.1'", str(error))
        self.assertIn("Address in use", str(error))
        self.assertFalse(self.service.running)
        self.assertEqual(len(self.flushLoggedErrors(EndpointNotBound)), 1)
        self.assertIsNone(self.monitoring.port)
