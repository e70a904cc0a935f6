"""The demo shows what it says, and notices a loss."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

from twisted.trial.unittest import SynchronousTestCase

from .activemq import activemq
from .brokers import rabbitmq
from .processes import run_python

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
GOT = "Got feed import message for: "


class DemoTests(SynchronousTestCase):
    """C{examples/demo.py}"""

    def run_demo(self, **changes: str) -> CompletedProcess[str]:
        """Run it, elsewhere than where it is."""
        return run_python(str(DEMO), cwd="/", **changes)

    def assert_shows(self, done: CompletedProcess[str], feeds: int) -> list[str]:
        """It went well; gives what was printed."""
        lines = done.stdout.splitlines()
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        got = [line.removeprefix(GOT) for line in lines if line.startswith(GOT)]
        self.assertEqual(got[0], "http://cnn.com/rss/edition.rss")
        self.assertEqual(len(set(got)), feeds)
        self.assertEqual(
            lines.count("Rejected a message: Unknown action: paint_feed"), 1
        )
        [reconnected] = [n for n, line in enumerate(lines) if "reconnected in" in line]
        self.assertRegex(lines[reconnected], r"reconnected in \d+\.\d+ s")
        after = [line for line in lines[reconnected:] if line.startswith(GOT)]
        self.assertGreater(len(after), 0)
        self.assertLess(len(after), feeds)
        self.assertRegex(
            lines[-1],
            f"^{feeds} feeds asked for, {feeds} received, 0 lost, \\d+ received twice, "
            "1 unknown message rejected$",
        )
        return lines

    def test_memory(self) -> None:
        """In one process, on a broker in memory, all twenty feeds come through."""
        lines = self.assert_shows(self.run_demo(), 20)
        self.assertEqual(lines[0], "Feeds go through memory://demo")

    def test_own_feed(self) -> None:
        """C{FEED_URL} is one feed more."""
        done = self.run_demo(FEED_URL="http://example.org/mine.rss")
        lines = self.assert_shows(done, 21)
        self.assertIn(f"{GOT}http://example.org/mine.rss", lines)

    def test_rabbitmq(self) -> None:
        """On a real broker it is two processes, and leaves nothing there."""
        broker = rabbitmq()
        done = self.run_demo(DEMO_BROKER=broker.url)
        lines = self.assert_shows(done, 20)
        self.assertNotIn("guest:guest", done.stdout)
        self.assertIn("The producer is process", done.stdout)
        self.assertRegex(lines[0], "^Feeds go through amqp://guest:\\*\\*@")
        self.assertNotIn("txkombu-demo", broker.ctl("list_queues"))
        self.assertNotIn("txkombu-demo", broker.ctl("list_exchanges"))

    def test_stomp_on_rabbitmq(self) -> None:
        """Over STOMP it is the same."""
        broker = rabbitmq()
        done = self.run_demo(DEMO_BROKER=broker.stomp_url)
        lines = self.assert_shows(done, 20)
        self.assertRegex(lines[0], "^Feeds go through stomp://guest:\\*\\*@")
        self.assertNotIn("txkombu-demo", broker.ctl("list_queues"))

    def test_stomp_on_activemq(self) -> None:
        """On ActiveMQ, too; it says what it cannot do there."""
        done = self.run_demo(DEMO_BROKER=activemq().stomp_url)
        lines = self.assert_shows(done, 20)
        self.assertRegex(lines[0], "^The queue does not go by itself: .*x-expires")
        self.assertRegex(lines[-2], "^Queue 'txkombu-demo-.*' stays at the broker: ")

    def test_loss(self) -> None:
        """What has not come in time is named, and the exit code says so."""
        done = self.run_demo(DEMO_SECONDS="0.8")  # asking takes longer
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 1)
        self.assertIn("Not over within 0.8 s", lines)
        self.assertIn("Lost: http://example.com/feeds/20.rss", lines)
        self.assertNotIn("Lost: http://cnn.com/rss/edition.rss", lines)
        self.assertRegex(lines[-1], r"^20 feeds asked for, \d+ received, [1-9]\d* lost")

    def test_absent_broker(self) -> None:
        """A broker that is not there is a loss, and its password is not shown."""
        url = "amqp://someone:s3cret@127.0.0.1:1"
        done = self.run_demo(DEMO_BROKER=url, DEMO_SECONDS="1.5")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("20 lost", done.stdout)
        self.assertIn("Connection refused", done.stdout)
        self.assertNotIn("s3cret", done.stdout)
