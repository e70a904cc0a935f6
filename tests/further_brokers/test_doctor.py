"""txkombu doctor on RabbitMQ 4, which refuses what it deprecates."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.further_brokers import roots
from tests.support.commands import begin


class DoctorTests(TestCase):
    """The last line, which tells what is deprecated."""

    timeout = 120

    async def test_refused(self) -> None:
        """
        A transient queue is refused; RabbitMQ 4.3 takes a prefetch for a whole channel,
        and ignores it.
        """
        ran = begin(f"doctor {roots.rabbitmq_of('sid').url}", None)
        self.assertEqual(await ran.code, 0, ran.out)
        *_, last = ran.out.decode().splitlines()
        self.assertTrue(last.startswith("warning  deprecated features: "), last)
        self.assertIn("refuses transient queues", last)
        self.assertIn("has no prefetch for a whole channel", last)
