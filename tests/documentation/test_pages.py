"""
The documentation is true: its snippets run, its links lead somewhere.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

import txkombu
from tests.documentation import capabilities_table
from tests.support.paths import DOCS, TREE
from tests.support.snippets import (
    PageTestCase,
    broken_link,
    files_of,
    links_of,
    parse,
    snippets_of,
)
from txkombu import exceptions, policy
from txkombu._util.limits import MAX_BODY_SIZE
from txkombu.core import consumers as consuming
from txkombu.core import publish_queue as publishing
from txkombu.core.lifecycle import State
from txkombu.messaging import producer
from txkombu.serialization import yaml_codec as yamlcodec
from txkombu.transport.registry import _provider
from txkombu.url.schemes import SCHEMES, known_schemes

PAGES = sorted(
    path.relative_to(DOCS).as_posix()
    for path in DOCS.rglob("*.rst")
    if ".. include::" not in path.read_text(encoding="utf-8")
)
"""The pages; not those that show one of the checkout's root, which is tested there."""
NO_POLICIES = {"FailurePolicy", "Hold", "ReconnectPolicy", "RetryPolicy", "Verdict"}
"""What txkombu.policy has beside policies and verdicts."""
PICTURE = b"\xff\xd8\xff\xe0"

SEED = """\
media_exchange = Exchange("media", "direct", durable=True)
video_queue = Queue("video", exchange=media_exchange, key="video")
BrokerConnection("localhost", "guest", "guest", "/")
channel = connection.channel()
producer = Producer(channel, exchange=media_exchange, serializer="json")
producer.publish({"name": "/tmp/lolcat1.avi", "size": 1301013})
consumer = Consumer(channel, video_queue)
consumer.register_callback(process_media)
consumer.consume()
while True:
connection.drain_events()
video_queue = Queue("video", exchange=media_exchange, key="video")
image_queue = Queue("image", exchange=media_exchange, key="image")
consumer = Consumer(channel, [video_queue, image_queue])
consumer.consume()
while True:
connection.drain_events()
exchange = Exchange("tasks", "direct")
channel = connection.channel()
bound_exchange = exchange(channel)
bound_exchange.delete()
exchange.delete()
from txkombu import BrokerConnection
conn = BrokerConnection(hostname="localhost", port=5672,
userid="guest", password="guest",
virtual_host="/")
from txkombu import Exchange, Queue, Consumer
feed_exchange = Exchange("feed", type="direct")
feed_queue = Queue("feed", feed_exchange, "importer")
channel = connection.channel()
consumer = Consumer(channel, [feed_queue])
def import_feed_callback(message_data, message):
feed_url = message_data["import_feed"]
print("Got feed import message for: %s" % feed_url)
message.ack()
consumer.register_callback(import_feed_callback)
while True:
connection.drain_events(timeout=
from txkombu import Exchange, Producer
feed_exchange = Exchange("feed", type="direct")
channel = connection.channel()
producer = Producer(channel, feed_exchange)
producer.publish({"import_feed": "http://cnn.com/rss/edition.rss"},
routing_key="importer")
producer.close()
producer = Producer(channel,
exchange=exchange,
serializer="yaml")
producer.publish(message, routing_key=rkey,
serializer="pickle")
producer.send(
content_type="image/jpeg",
content_encoding="binary",
routing_key=rkey)
consumer = Consumer(channel, queues)
message = consumer.get()
if message:
message_data = message.payload
message.ack()
else:
consumer.close()
class FeedProducer(Producer):
exchange = exchange
routing_key = "importer"
def import_feed(self, feed_url):
return self.publish({"action": "import_feed",
"feed_url": feed_url})
class FeedConsumer(Consumer):
queues = queues
def receive(self, message_data, message):
action = message_data["action"]
if action == "import_feed":
message.ack()
else:
raise Exception("Unknown action: %s" % action)
producer = FeedProducer(channel)
producer.import_feed("http://cnn.com/rss/edition.rss")
producer.close()
consumer = FeedConsumer(channel)
while True:
connection.drain_events()
"""
"""
The statements of Kombu 0.1.0's introduction, with today's names: Queue for
Binding, and txkombu.
"""


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def first_columns(page: str, section: str) -> list[list[str]]:
    """Return the rows of the tables of one section, as texts."""
    tree = parse(text_of(page))
    [found] = [
        node
        for node in (tree, *tree.findall(nodes.section))
        if node["names"] == [section]
    ]
    return [
        [entry.astext().replace("\n", " ") for entry in row.findall(nodes.entry)]
        for body in found.findall(nodes.tbody)
        for row in body.findall(nodes.row)
    ]


def words_in(rows: list[list[str]]) -> set[str]:
    """Return the names in the first column."""
    return {word for row in rows for word in re.split(r",\s*", row[0]) if word}


class PagesTests(PageTestCase):
    """Every snippet runs, and does what the page shows."""

    async def run_page(self, page: str, **options: Any) -> None:
        """Run a page, which has to have snippets."""
        self.assertGreater(await self.run_text(text_of(page), **options), 1)

    async def test_index(self) -> None:
        """docs/index.rst"""
        await self.run_page("index.rst")

    async def test_introduction(self) -> None:
        """docs/start/introduction.rst; its unknown action fails, and is logged."""
        Path("my_picture.jpg").write_bytes(PICTURE)
        await self.run_page("start/introduction.rst")
        self.assertIn(len(self.flushLoggedErrors(Exception)), (1, 2))  # it closes soon

    async def test_connections(self) -> None:
        """docs/reference/connections.rst"""
        await self.run_page("reference/connections.rst")

    async def test_publishing(self) -> None:
        """docs/howto/publishing.rst"""
        await self.run_page("howto/publishing.rst")

    async def test_consuming(self) -> None:
        """docs/howto/consuming.rst; the failure it shows is logged, each time."""
        await self.run_page("howto/consuming.rst")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    async def test_failures(self) -> None:
        """docs/howto/failures.rst; failures are logged, and its test case passes."""
        await self.run_page("howto/failures.rst")
        self.assertGreater(len(self.flushLoggedErrors(RuntimeError)), 5)
        case = _run_case(self.runner.namespace["RetryTests"])
        self.assertEqual((case.successes, case.errors, case.failures), (1, [], []))

    async def test_serialization(self) -> None:
        """docs/howto/serialization.rst"""
        await self.run_page("howto/serialization.rst")

    async def test_rpc(self) -> None:
        """docs/howto/rpc.rst; the failure of its handler is logged."""
        await self.run_page("howto/rpc.rst")
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    async def test_errors(self) -> None:
        """docs/reference/errors.rst"""
        await self.run_page("reference/errors.rst")

    async def test_transports(self) -> None:
        """docs/explained/transports.rst"""
        await self.run_page("explained/transports.rst")

    async def test_testing(self) -> None:
        """docs/howto/testing.rst; its test cases end as it says."""
        files = files_of(text_of("howto/testing.rst"))
        self.assertEqual(list(files), ["feeds.py", "test_feeds.py"])
        home = Path(self.mktemp()).resolve()
        home.mkdir(parents=True)
        home.joinpath("feeds.py").write_text(files["feeds.py"], encoding="utf-8")
        self.patch(sys, "path", [str(home), *sys.path])
        self.addCleanup(sys.modules.pop, "feeds", None)
        await self.run_page("howto/testing.rst")
        cases = self.runner.namespace
        good = _run_case(cases["FeedImporterTests"])
        self.assertEqual((good.successes, good.errors, good.failures), (3, [], []))
        bad = _run_case(cases["ForgetfulTests"])
        failure: Any = bad.failures[0][1]
        either = _run_case(cases["AsyncTests"])
        self.assertEqual((either.successes, len(either.failures)), (1, 1))
        late: Any = either.failures[0][1]
        self.assertIn("no result yet", late.getErrorMessage())
        shown = [each.text for each in snippets_of(text_of("howto/testing.rst"))]
        self.assertIn(failure.getErrorMessage(), shown)

    def test_every_page(self) -> None:
        """Every page that shows code is named in the tests."""
        tests = TREE.joinpath("tests")
        named = {
            name
            for path in tests.rglob("*.py")
            for name in re.findall(r'[/"]([\w-]+\.rst)"', path.read_text("utf-8"))
        }
        left = [page for page in PAGES if Path(page).name not in named]
        kinds = {each.kind for page in left for each in snippets_of(text_of(page))}
        self.assertLessEqual(kinds, {"plain"}, left)


def _run_case(case: type[SynchronousTestCase]) -> TestResult:
    result = TestResult()
    for name in dir(case):
        if name.startswith("test_"):
            case(name).run(result)
    return result


class SeedTests(SynchronousTestCase):
    """The introduction is Kombu's first one."""

    def test_statements(self) -> None:
        """Every statement of it is there, in order, with only C{await} added."""
        page = [
            re.sub(r"^(>>>|\.\.\.)\s*", "", line).replace("await ", "")
            for snippet in snippets_of(text_of("start/introduction.rst"))
            for line in snippet.text.splitlines()
        ]
        lines = iter(page)
        missing = [
            line
            for line in SEED.splitlines()
            if not any(each.lstrip().startswith(line) or line in each for each in lines)
        ]
        self.assertEqual(missing, [])


class MarkupTests(SynchronousTestCase):
    """Every page is well-formed, and what it links to is there."""

    def test_pages(self) -> None:
        """docutils finds no fault in any page."""
        for page in PAGES:
            parse(text_of(page))

    def test_links(self) -> None:
        """Links between pages lead to an existing file, and to a section of it."""
        checked = 0
        for page in PAGES:
            for target in links_of(DOCS / page):
                self.assertEqual(broken_link(DOCS / page, target), "")
                checked += 1
        self.assertGreater(checked, 20)

    def test_languages(self) -> None:
        """No block of Python is marked as one that is not run."""
        known = {"session", "program", "screen", "sh", "output", "plain"}
        known |= {"ini", "toml", "yaml"}
        for page in PAGES:
            snippets = snippets_of(text_of(page))
            self.assertLessEqual({each.kind for each in snippets}, known)
            plain = [each.text for each in snippets if each.kind == "plain"]
            hidden = [each for each in plain if "import " in each or "await" in each]
            self.assertEqual(hidden, [], page)


class TableTests(SynchronousTestCase):
    """The tables list exactly what exists."""

    def test_errors(self) -> None:
        """Every error is listed, and nothing else is."""
        rows = [
            row
            for section in (
                "mistakes of the caller",
                "content",
                "timeouts and back-pressure",
                "connections and channels",
                "verdicts on a publish",
                "what the broker says",
            )
            for row in first_columns("reference/errors.rst", section)
        ]
        found = inspect.getmembers(exceptions, inspect.isclass)
        kinds = {
            name
            for name, kind in found
            if kind.__module__ == exceptions.__name__ and issubclass(kind, Exception)
        }
        self.assertEqual(words_in(rows), kinds)

    def test_reply_codes(self) -> None:
        """The codes of the broker's errors are those of the classes."""
        for name, code, *_ in first_columns(
            "reference/errors.rst", "what the broker says"
        ):
            kind = getattr(exceptions, name)
            self.assertEqual(code if code.isdigit() else "0", str(kind.default_code))

    def test_abilities(self) -> None:
        """The capabilities are those of the table by which tests are selected."""
        self.assertEqual(
            capabilities_table.written(),
            capabilities_table.table(),
            "python -m tests.documentation.capabilities_table writes it",
        )

    def test_schemes(self) -> None:
        """Every scheme is listed, with its port, and whether it is available."""
        schemes = first_columns("explained/transports.rst", "transports")[
            : len(SCHEMES)
        ]
        self.assertEqual(words_in(schemes), set(SCHEMES))
        self.assertLessEqual(set(SCHEMES), set(known_schemes()))
        for name, port, state, _ in schemes:
            self.assertEqual(port or "0", str(SCHEMES[name].port))
            self.assertEqual(state, "available" if _is_available(name) else "not yet")

    def test_states(self) -> None:
        """Every state of a connection is listed, in order."""
        rows = first_columns("reference/connections.rst", "reconnecting")
        states = [state.value for state in State]
        self.assertEqual([row[0] for row in rows[: len(states)]], states)

    def test_properties(self) -> None:
        """Every listed property can be given to publish."""
        rows = first_columns("howto/publishing.rst", "what a message carries")
        arguments = set(inspect.signature(producer.Producer.publish).parameters)
        properties = {"correlation_id", "message_id", "timestamp", "type", "app_id"}
        properties |= {"reply_to", "user_id"}
        self.assertLessEqual(words_in(rows), arguments | properties)
        self.assertLessEqual(properties, words_in(rows))

    def test_message(self) -> None:
        """Every attribute listed for a message is one."""
        for name in words_in(first_columns("howto/consuming.rst", "the message")):
            self.assertTrue(hasattr(txkombu.Message, name), name)

    def test_policies(self) -> None:
        """The failure policies are those of the module."""
        listed = words_in(first_columns("howto/failures.rst", "policies"))
        raised = words_in(first_columns("howto/failures.rst", "verdicts of handlers"))
        self.assertEqual(
            {name.partition("(")[0] for name in listed | raised},
            set(policy.__all__) - NO_POLICIES,
        )
        self.assertIs(txkombu.Consumer.on_failure, policy.default)
        self.assertEqual(policy.default, policy.retry())

    def test_numbers(self) -> None:
        """The defaults and limits on the pages are those of the code."""
        text = " ".join(text_of("howto/publishing.rst").split())
        self.assertIn(
            f"up to {publishing.WINDOW:,} messages, or "
            f"{publishing.WINDOW_BYTES // 2**20} MiB",
            text,
        )
        self.assertIn(
            f"Up to {publishing.MAX_PENDING:,} messages or "
            f"{publishing.MAX_PENDING_BYTES // 2**20} MiB",
            text,
        )
        self.assertIn(
            f"{publishing.TURN} messages or {publishing.TURN_BYTES // 1024} KiB", text
        )
        self.assertIn(f"It is {producer.PUBLISH_TIMEOUT:g} seconds", text)
        self.assertIn(
            f"{consuming.PREFETCH} by default", text_of("howto/consuming.rst")
        )

    def test_limits(self) -> None:
        """The limits on the page about serialization are those of the code."""
        text = text_of("howto/serialization.rst")
        self.assertIn(f"{yamlcodec.YAML_LIMIT:,} characters", text)
        self.assertIn(f"{yamlcodec.YAML_DEPTH} levels", text)
        self.assertIn(f"``max_body_size`` is {MAX_BODY_SIZE // 2**20} MiB", text)


def _is_available(scheme: str) -> bool:
    try:
        _provider(SCHEMES[scheme])()
    except ImportError:
        return False
    return True
