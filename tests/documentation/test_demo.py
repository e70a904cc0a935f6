"""
The demo loses nothing, and notices a loss.
"""

from __future__ import annotations

from tests.documentation.demo import GOT, DemoCase


class DemoTests(DemoCase):
    """The demo on the memory broker, and without a broker."""

    def test_memory(self) -> None:
        """In one process, on a broker in memory, all twenty feeds arrive."""
        lines = self.assert_shows(self.run_demo(), 20)
        self.assertEqual(lines[0], "Feeds go through memory://demo")

    def test_own_feed(self) -> None:
        """C{FEED_URL} adds a feed."""
        done = self.run_demo(FEED_URL="http://example.org/mine.rss")
        lines = self.assert_shows(done, 21)
        self.assertIn(f"{GOT}http://example.org/mine.rss", lines)

    def test_loss(self) -> None:
        """Feeds that do not arrive in time are named, and the exit code is 1."""
        done = self.run_demo(DEMO_SECONDS="0.8")  # asking takes longer
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 1)
        self.assertIn("The demo did not end within 0.8 s", lines)
        self.assertIn("Lost: http://example.com/feeds/20.rss", lines)
        self.assertNotIn("Lost: http://cnn.com/rss/edition.rss", lines)
        self.assertRegex(lines[-1], r"^20 feeds asked for, \d+ received, [1-9]\d* lost")

    def test_absent_broker(self) -> None:
        """A broker that is not there is reported as a loss, without its password."""
        url = "amqp://someone:s3cret@127.0.0.1:1"
        done = self.run_demo(DEMO_BROKER=url, DEMO_SECONDS="1.5")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("20 lost", done.stdout)
        self.assertIn("Connection refused", done.stdout)
        self.assertNotIn("s3cret", done.stdout)
