"""
The tables of what each transport has are those of the code.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.contract.capabilities import AMQP, MEMORY, PIKA, STOMP_RABBITMQ, TXAMQP
from tests.documentation import supported
from tests.documentation.supported_rows import (
    ARGUMENTS,
    FRAMES,
    HEADERS,
    METHODS,
    NO,
    OF_BROKERS,
    YES,
)
from txkombu.transport.memory.arguments import CHECKS
from txkombu.transport.stomp.wire.stompest_core import StompSpec


class SupportedTests(SynchronousTestCase):
    """docs/reference/supported.rst"""

    def test_written(self) -> None:
        """Each table is as the code has it."""
        page = supported.PAGE.read_text(encoding="utf-8")
        for kind, make in supported.TABLES.items():
            _, _, rest = page.partition(f".. begin {kind}\n")
            written, _, _ = rest.partition(f".. end {kind}\n")
            self.assertEqual(
                written.strip(),
                make().strip(),
                "python -m tests.documentation.supported writes it",
            )

    def test_methods(self) -> None:
        """Every method of AMQP is listed, each request with its replies."""
        self.assertEqual(set(METHODS), set(supported.requests()))
        self.assertEqual(supported.requests()["Basic.Get"], ["GetOk", "GetEmpty"])

    def test_methods_used(self) -> None:
        """A method counts as used if the source names it."""
        used = supported.methods_used()
        self.assertIn("Queue.Declare", used)
        self.assertNotIn("Tx.Select", used)

    def test_arguments(self) -> None:
        """Every argument of RabbitMQ's queues is listed."""
        self.assertEqual(set(ARGUMENTS), set(CHECKS))
        self.assertEqual(supported.of_memory("x-max-length"), YES)
        self.assertEqual(supported.of_memory("x-queue-mode"), "without effect")
        self.assertEqual(supported.of_memory("x-max-age"), NO)
        self.assertEqual(supported.kinds_of("x-delivery-limit"), "quorum")
        self.assertEqual(supported.kinds_of("x-max-age"), "stream")
        for name in ("x-queue-type", "x-max-length-bytes"):
            self.assertEqual(supported.kinds_of(name), "classic, quorum, stream")

    def test_frames(self) -> None:
        """Every frame and header of STOMP's specifications is listed."""
        known = {each for version in StompSpec.COMMANDS.values() for each in version}
        self.assertEqual(set(FRAMES), known)
        names = {
            value for name, value in vars(StompSpec).items() if name.endswith("_HEADER")
        }
        self.assertEqual(set(HEADERS), names)

    def test_headers_of_brokers(self) -> None:
        """A header that a broker adds stands in the source for that broker."""
        for name, header in OF_BROKERS.items():
            for broker in header.brokers:
                self.assertIn(name, supported.used_on(broker), name)

    def test_amqp(self) -> None:
        """The three transports for AMQP can do the same, and so share a column."""
        for each in (AMQP, TXAMQP, PIKA):
            self.assertEqual(each.lacks, {})

    def test_probes(self) -> None:
        """What is tried on the memory broker and on a dialect can fail."""
        probes = supported.PROBES
        self.assertEqual(probes["alternate"](MEMORY), YES)
        self.assertEqual(probes["alternate"](STOMP_RABBITMQ), NO)
        self.assertEqual(probes["stream"](MEMORY), NO)
        self.assertEqual(probes["secret"](AMQP), YES)
        self.assertNotEqual(supported.methods(), supported.methods().replace(YES, NO))
