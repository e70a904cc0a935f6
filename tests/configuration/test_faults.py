"""Each way in which a configuration file can be wrong gives a line that says how."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from txkombu.configuration import ConfigurationError, read_file

H = "tests.configuration.handlers"

RIGHT = f"""
broker: memory://x
queues:
  feeds: {{}}
consumers:
  - handler: {H}:Feeds
"""

DOCUMENTS: tuple[tuple[str, str], ...] = (
    # what the file is, and the line that is told of it
    ("", "service.yaml: is empty"),
    ("# nothing", "service.yaml: is empty"),
    (
        "just text",
        "service.yaml:1: must be a mapping, as in 'broker: amqp://localhost'",
    ),
    ("- a\n- b", "service.yaml:1: must be a mapping, as in 'broker: amqp://localhost'"),
    ("broker: a\n  b: c", "service.yaml:2: is no YAML: mapping values are not allowed"),
    ("broker: [a", "expected ',' or ']'"),
    ("a: 1\n---\nb: 2", "service.yaml:2: is no YAML: but found another document"),
    ("broker: !!python/object:os.system {}", "service.yaml:1: broker: has a tag that"),
    ("broker: \x07", "service.yaml:1: is no YAML: unacceptable character U+0007"),
    ("broker: &a [*a]\nx: *b", "service.yaml:2: is no YAML: found undefined alias"),
    (
        "broker: a\nbroker: b",
        "service.yaml:2: broker: is here a second time; the first",
    ),
    ("? [a, b]\n: c", "service.yaml:1: a key must be a plain word"),
    ("a: " + "[" * 2000, " is no YAML: "),
    ("a: " + "x" * 1_100_000, "service.yaml: has more than 1,048,576 bytes"),
    ("a: [" + "1, " * 100_001 + "]", "service.yaml:1: has more than 100,000 values"),
)

WHOLE: tuple[tuple[str, str], ...] = (
    (f"consumers: [{{handler: '{H}:Feeds'}}]", "service.yaml:1: broker: is missing"),
    ("broker: memory://", "service.yaml:1: consumers: must have at least one consumer"),
    (f"{RIGHT}\nbrokers: x", "brokers: is not known: did you mean 'broker'? known are"),
    (f"{RIGHT}\nzzz: x", "zzz: is not known: known are broker, consumers"),
    (RIGHT.replace("memory://x", "3"), "2: broker: must be a mapping, which may have"),
    (
        RIGHT.replace("memory://x", ""),
        "2: broker: must be a mapping, which may have url",
    ),
    (RIGHT.replace("memory://x", "{}"), "2: broker.url: is missing"),
    (RIGHT.replace("memory://x", "[]"), "2: broker.url: must be a text, or a list"),
    (RIGHT.replace("memory://x", "[1]"), "2: broker.url: must be a text, or a list"),
    (RIGHT.replace("memory://x", "amqp://h:x"), "2: broker: "),
    (RIGHT.replace("memory://x", "smtp://h"), "2: broker: "),
    (RIGHT.replace("memory://x", "amqp://h?hartbeat=3"), "did you mean 'heartbeat'?"),
    (
        f"{RIGHT}\nconsumers: 3",
        "consumers: is here a second time; the first is in line",
    ),
    (f"{RIGHT}\nlog: debug", "log: must be a mapping, which may have level, format"),
    (f"{RIGHT}\nlog: {{level: loud}}", "log.level: must be one of debug, info, warn"),
    (f"{RIGHT}\nlog: {{level: 3}}", "log.level: must be one of debug, info, warn"),
    (
        f"{RIGHT}\nlog: {{format: xml}}",
        "log.format: must be one of text, json, not 'xml'",
    ),
    (f"{RIGHT}\nshutdown_timeout: soon", "shutdown_timeout: must be a number; it is a"),
    (f"{RIGHT}\nshutdown_timeout: -1", "shutdown_timeout: must be"),
    (f"{RIGHT}\nshutdown_timeout: .nan", "shutdown_timeout: must be"),
    (f"{RIGHT}\napp: 3", "app: must be a text; it is 3"),
    (f"{RIGHT}\nhttp: 8080", "http: must be a text; it is 8080"),
    (f"{RIGHT}\nhttp: '8080'", "http: '8080' is no endpoint, such as tcp:8080:inter"),
    (
        f"{RIGHT}\nhttp: tpc:8080",
        "=127.0.0.1: Unknown endpoint type: 'tpc'",
    ),
    (f"{RIGHT}\nhttp: tcp:80800", "8080:interface=127.0.0.1: there is no port 80800"),
    (f"{RIGHT}\nhttp: tcp:8080:interfase=::1", "it got an unexpected keyword argument"),
    (f"{RIGHT}\npublisher: 3", "publisher: must be a mapping, which may have broker"),
    (f"{RIGHT}\npublisher: {{broker: 3}}", "publisher.broker: must be a mapping"),
)

BROKERS: tuple[tuple[str, str], ...] = (
    ("heartbeat: often", "heartbeat: must be a number; it is a text"),
    ("heartbeat: true", "heartbeat: must be a number; it is true"),
    ("heartbeat: -1", "heartbeat: must be"),
    ("connect_timeout: 0", "connect_timeout: must be"),
    ("operation_timeout: -1", "operation_timeout: must be"),
    ("wait_for_broker: maybe", "wait_for_broker: must be true or false; it is a text"),
    ("passwort: x", "passwort: is not known: did you mean 'password'?"),
    ("password: 5", "password: must be a text, {env: NAME} or {file: PATH}; it is no"),
    (
        "password: {env: NOT_SET}",
        "password: there is no environment variable 'NOT_SET'",
    ),
    ("password: {env: 3}", "password: must be a name, after env; it is 3"),
    ("password: {file: /nowhere}", "password: file '/nowhere' cannot be read: No such"),
    ("password: {vault: x}", "password: must be a text, {env: NAME} or {file: PATH}; "),
    ("tls: true", "tls: must be a mapping, which may have cacertfile, certfile"),
    ("tls: {ca: x}", "tls.ca: is not known"),
    ("tls: {keyfile: /dev/null}", "tls.keyfile: needs a certfile"),
    (
        "tls: {cacertfile: /nowhere}",
        "tls.cacertfile: '/nowhere' cannot be read: No such",
    ),
    ("tls: {verify: 1}", "tls.verify: must be true or false; it is 1"),
)

QUEUES: tuple[tuple[str, str], ...] = (
    ("3", "queues.feeds: must be a mapping, which may have exchange"),
    ("{durable: yes please}", "queues.feeds.durable: must be true or false"),
    ("{exchange: news}", "queues.feeds.exchange: there is no exchange 'news'"),
    ("{exchange: fed}", "queues.feeds.exchange: there is no exchange 'fed': did you"),
    ("{routing_key: x}", "queues.feeds.routing_key: is for the binding to exchange"),
    ("{message_ttl: -1}", "queues.feeds.message_ttl: must be"),
    ("{max_priority: 300}", "queues.feeds.max_priority: must be 1 to 255, not 300"),
    ("{queue_type: 3}", "queues.feeds.queue_type: must be one of classic, quorum"),
    ("{bindings: news}", "queues.feeds.bindings: must be a list; it is a text"),
    ("{bindings: [news]}", "queues.feeds.bindings[0]: must be a mapping, which may"),
    ("{bindings: [{}]}", "queues.feeds.bindings[0].exchange: is missing"),
    (
        "{bindings: [{exchange: fed}], exchange: feed}",
        "queues.feeds.bindings: replaces exchange: give one of them",
    ),
    ("{ttl: 3}", "queues.feeds.ttl: is not known"),
    (
        "{queue_arguments: 3}",
        "queues.feeds.queue_arguments: must be a mapping; it is 3",
    ),
)

CONSUMERS: tuple[tuple[str, str], ...] = (
    ("queues: feeds", "consumers[0].handler: is missing"),
    ("handler: 3", "consumers[0].handler: must be a text; it is 3"),
    ("handler: Feeds", "handler: 'Feeds' is not of the form package.module:Name"),
    ("handler: nowhere:Feeds", "handler: there is no module 'nowhere'"),
    (f"handler: {H}:Fedes", f"handler: module '{H}' has no 'Fedes'; did you mean"),
    (f"handler: {H}:NUMBER", "is no consumer: it must be a subclass"),
    (f"handler: {H}:of_three", "is no consumer: it must be a subclass"),
    (f"handler: {H}:plain", f"'{H}:plain' names no queues itself: queues must name"),
    (
        f"{{handler: '{H}:plain', queues: feed}}",
        "consumers[0].queues: there is no queue 'feed': did you mean 'feeds'?",
    ),
    (
        f"{{handler: '{H}:WithoutQueues', queues: [feeds, other]}}",
        "consumers[0].queues: there is no queue 'other'",
    ),
    (f"handler: {H}:WithoutQueues", "has no queues to receive from: give it some"),
    (f"handler: {H}:Idle", "cannot handle messages: override receive()"),
    (f"handler: {H}:make_nothing", "no consumer today"),
    (
        f"{{handler: '{H}:make_feeds', prefetch_count: 3, queues: feeds}}",
        "makes its consumer itself, and so decides on queues, prefetch_count",
    ),
    (f"handler: {H}:publishing", "names no queues itself"),
    (
        f"{{handler: '{H}:publishing', queues: feeds}}",
        "has a parameter publisher, and the service has no publisher",
    ),
    (
        f"{{handler: '{H}:Feeds', thread: true}}",
        "consumers[0].thread: is for functions",
    ),
    (f"{{handler: '{H}:Feeds', queues: 3}}", "queues: must be a text, or a list of"),
    (
        f"{{handler: '{H}:Feeds', queues: [fees]}}",
        "consumers[0].queues: there is no queue 'fees': did you mean 'feeds'?",
    ),
    (
        f"{{handler: '{H}:Feeds', queues: other}}",
        "there is no queue 'other': queues has to define it",
    ),
    (f"{{handler: '{H}:Feeds', prefetch: 3}}", "did you mean 'prefetch_count'?"),
    (
        f"{{handler: '{H}:Feeds', prefetch_count: ten}}",
        "consumers[0].prefetch_count: must be a whole number; it is a text",
    ),
    (
        f"{{handler: '{H}:Feeds', prefetch_count: 1.5}}",
        "consumers[0].prefetch_count: must be a whole number; it is 1.5",
    ),
    (
        f"{{handler: '{H}:Feeds', prefetch_count: 70000}}",
        "consumers[0].prefetch_count: must be 0 to 65535, not 70000",
    ),
    (
        f"{{handler: '{H}:marked', concurrency: 0}}",
        "consumers[0].concurrency: must be at least 1, not 0",
    ),
    (
        f"{{handler: '{H}:Feeds', accept: json}}",
        "consumers[0].accept: must be a list; it is a text",
    ),
    (f"{{handler: '{H}:Feeds', accept: [jason]}}", "jason"),
    (
        f"{{handler: '{H}:Feeds', auto_declare: later}}",
        "consumers[0].auto_declare: must be true, false or passive; it is a text",
    ),
    (
        f"{{handler: '{H}:Feeds', middleware: ['{H}:plain']}}",
        f"middleware[0]: '{H}:plain' is called with 3 arguments",
    ),
    (f"{{handler: '{H}:Feeds', middleware: [x]}}", "middleware[0]: 'x' is not of the"),
)

POLICIES: tuple[tuple[str, str], ...] = (
    ("3", "must be the name of a policy, or a mapping of its name to its arguments"),
    ("rejekt", "there is no policy 'rejekt': did you mean 'reject'?"),
    ("park", "park needs arguments, as in on_failure: {park: …}"),
    ("{reject: now}", "reject has no arguments: write on_failure: reject"),
    ("{retry: 3}", "must be a mapping of arguments of retry; it is 3"),
    ("{retry: {attempts: 0}}", "retry: attempts must be at least 1, not 0"),
    ("{retry: {atempts: 3}}", "retry has no 'atempts': did you mean 'attempts'?"),
    ("{retry: {then: rejekt}}", "there is no policy 'rejekt'"),
    ("{delayed: {}}", "delayed needs park"),
    ("{delayed: {park: dead, delays: []}}", "delayed: delays must have at least one"),
    ("{park: 3}", "must be a mapping of arguments of park; it is 3"),
    ("{park: ''}", "park: a parking queue needs a name"),
    ("{retry: {}, park: x}", "must be the name of a policy, or a mapping"),
    (f"{H}:of_three", "is called with 2 arguments"),
    (f"{H}:nothing", "has no 'nothing'"),
)


class FaultCase(SynchronousTestCase):
    """Reads files that are wrong."""

    def fault(self, text: str | bytes) -> str:
        """Return what is told of a file."""
        folder = Path(self.mktemp())
        folder.mkdir()
        file = folder / "service.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        error = self.assertRaises(ConfigurationError, read_file, str(file))
        return str(error).replace(str(file), "service.yaml")

    def check(self, text: str | bytes, told: str) -> str:
        """One line tells the fault of a file, and where it is; return it."""
        found = self.fault(text)
        self.assertIn(told, found, text[:300])
        self.assertTrue(found.startswith("service.yaml:"), found)
        self.assertEqual(len(found.splitlines()), 1, found)
        return found


class FaultTests(FaultCase):
    """Faults of files."""

    def test_documents(self) -> None:
        """What is not YAML, or no mapping."""
        for text, told in DOCUMENTS:
            self.check(text, told)

    def test_whole(self) -> None:
        """The sections."""
        for text, told in WHOLE:
            self.check(text, told)

    def test_broker(self) -> None:
        """The broker."""
        for text, told in BROKERS:
            broker = f"{{url: 'amqps://h', {text}}}"
            self.check(RIGHT.replace("memory://x", broker), told)

    def test_queues(self) -> None:
        """Queues and their bindings."""
        for text, told in QUEUES:
            file = RIGHT.replace("feeds: {}", f"feeds: {text}")
            self.check(f"{file}\nexchanges: {{feed: {{}}}}", told)

    def test_exchanges(self) -> None:
        """Exchanges."""
        for text, told in (
            ("{typ: topic}", "exchanges.feed.typ: is not known: did you mean 'type'?"),
            ("{durable: 3}", "exchanges.feed.durable: must be true or false; it is 3"),
            ("topic", "exchanges.feed: must be a mapping, which may have type"),
        ):
            self.check(f"{RIGHT}\nexchanges:\n  feed: {text}", told)
        long = "x" * 300
        self.check(f"{RIGHT}\nexchanges: {{{long}: {{}}}}", "at most 255 are allowed")

    def test_consumers(self) -> None:
        """Consumers and handlers."""
        for text, told in CONSUMERS:
            item = text if text.startswith("{") else f"{{{text}}}"
            quoted = item.replace(": nowhere:Feeds", ": 'nowhere:Feeds'")
            if not text.startswith("{") and f"handler: {H}" in text:
                quoted = f"{{handler: '{text.removeprefix('handler: ')}'}}"
            self.check(RIGHT.replace(f"handler: {H}:Feeds", quoted), told)

    def test_policies(self) -> None:
        """Failure policies."""
        for text, told in POLICIES:
            file = RIGHT + f"    on_failure: {text}\n"
            found = self.fault(file)
            self.assertIn(told, found)
            self.assertTrue(
                found.startswith("service.yaml:7: consumers[0].on_failure: "), found
            )

    def test_no_file(self) -> None:
        """A file that cannot be read."""
        error = self.assertRaises(ConfigurationError, read_file, "/nowhere.yaml")
        self.assertEqual(
            str(error), "/nowhere.yaml: cannot be read: No such file or directory"
        )
        error = self.assertRaises(ConfigurationError, read_file, "/")
        self.assertEqual(str(error), "/: cannot be read: Is a directory")

    def test_all_together(self) -> None:
        """All faults of a kind are told at once, in the order of their lines."""
        text = dedent(
            f"""\
            broker: {{url: memory://x, heartbeat: often}}
            queues:
              feeds: {{durable: 3}}
            consumers:
              - handler: {H}:Feeds
                prefetch_count: ten
            """
        )
        self.assertEqual(
            self.fault(text).splitlines(),
            [
                "service.yaml:1: broker.heartbeat: must be a number; it is a text",
                "service.yaml:3: queues.feeds.durable: must be true or false; it is 3",
                "service.yaml:6: consumers[0].prefetch_count: must be a whole number; "
                "it is a text",
            ],
        )
        text = dedent(
            f"""\
            broker: {{url: memory://x}}
            shutdown_timeout: -1
            queues:
              feeds: {{max_priority: 300}}
            consumers:
              - handler: {H}:Fedes
              - handler: {H}:Feeds
                concurrency: 0
            """
        )
        lines = [each.split(":")[1] for each in self.fault(text).splitlines()]
        self.assertEqual(lines, ["2", "4", "6", "8"])

    def test_kinds_together(self) -> None:
        """Wrong keys and types are told with what is wrong with other sections."""
        text = dedent(
            f"""\
            brokers: amqp://h
            log: {{level: loud}}
            shutdown_timeout: -1
            exchanges: {{feed: {{typ: topic}}}}
            queues:
              feeds: {{exchange: feed, max_priority: 300}}
              rest: {{durable: 3}}
            consumers:
              - {{handler: "{H}:Feeds", queues: rest}}
              - {{handler: "{H}:Fedes", queues: feeds}}
              - handler: {H}:Feeds
                prefetch: 3
              - {{handler: "{H}:publishing", queues: rest}}
            """
        )
        lines = [each.split(":")[1] for each in self.fault(text).splitlines()]
        self.assertEqual(
            lines,
            ["1", "2", "3", "4", "6", "7", "10", "12", "13"],
            self.fault(text),
        )

    def test_no_passwords(self) -> None:
        """No error shows what may be a password."""
        for broker in (
            "{url: 'amqp://u:secret@h:x'}",
            "{url: amqps://h, password: [secret]}",
            "{url: amqps://h, tls: {password: {secret: secret}}}",
            "amqp://u:secret@h:99999",
        ):
            found = self.fault(RIGHT.replace("memory://x", broker))
            self.assertNotIn("secret", found)
