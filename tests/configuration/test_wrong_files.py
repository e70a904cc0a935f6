"""Files as tired people write them: each fault is told in a line, with its place."""

from __future__ import annotations

import os
from pathlib import Path

from tests.configuration.test_faults import RIGHT, FaultCase, H
from txkombu.configuration import ConfigurationError, read_file

TEXTS: tuple[tuple[str | bytes, str], ...] = (
    # what is read as something else than YAML, or is none
    ("a: x\nbroker: müller".encode("latin-1"), "service.yaml:2: is not UTF-8: save it"),
    (b"\xff\xfeb\x00r", "service.yaml:1: is not UTF-8"),
    ("broker: x\n".encode("utf-16-le"), "service.yaml:1: is no YAML: unacceptable"),
    (b"broker: a\nb: \0", "service.yaml:2: is no YAML: unacceptable character U+0000"),
    ("broker:\n\turl: x", "service.yaml:2: is no YAML: found a character that cannot"),
    ("broker: x\na: @b", "service.yaml:2: is no YAML: found a character that cannot"),
    ("password: *hunter2", "found undefined alias; a text that begins with * needs"),
    ("broker: !hunter2", "service.yaml:1: broker: has a tag that is not known; a text"),
    ("broker: !!str [a]", "service.yaml:1: is no YAML: expected a scalar node"),
    ("app: =", "service.yaml:1: app: has a tag that is not known"),
    ("a: b\napp: 2024-13-45", "service.yaml:2: app: cannot be read as a date: put a"),
    ("app: 2024-02-30", "service.yaml:1: app: cannot be read as a date"),
    ("a: [!!int x]", "service.yaml:1: a[0]: cannot be read as a whole number"),
    ("a: !!int ''", "service.yaml:1: a: cannot be read as a whole number"),
    ("a: !!float x", "service.yaml:1: a: cannot be read as a number"),
    ("a: !!bool x", "service.yaml:1: a: cannot be read as bool"),
    ("a: !!timestamp x", "service.yaml:1: a: cannot be read as a date"),
    ("a: " + "9" * 5000, "service.yaml:1: a: cannot be read as a whole number"),
    ("a: " + "9" * 400, "service.yaml:1: a: is too large a number"),
    ("a: -0x" + "f" * 5000, "service.yaml:1: a: is too large a number"),
    ("broker: &a {url: *a}", "service.yaml:1: broker.url: contains itself"),
    ("a: &a\n  - b\n  - *a", ": a[1]: contains itself, by its alias"),
    ("a: &a\n  <<: *a", "service.yaml:1: a: contains itself"),
    ("a: " + "[" * 300 + "]" * 300, "service.yaml:1: is nested too deeply"),
    ("<<: 3", "service.yaml:1: is no YAML: expected a mapping"),
    ("broker: 'x\nqueues: {}", "service.yaml:2: is no YAML: found unexpected end"),
    ("broker: x\n on: y", "service.yaml:2: is no YAML: mapping values are not allowed"),
)

KEYS: tuple[tuple[str, str], ...] = (
    ("on", "YAML reads 'on' as true: put it in quotes"),
    ("3", "YAML reads '3' as 3: put it in quotes"),
    ("0x10", "YAML reads '0x10' as 16: put it in quotes"),
    ("1.50", "YAML reads '1.50' as 1.5: put it in quotes"),
    ("2024-01-01", "YAML reads '2024-01-01' as a date: put it in quotes"),
    ("~", "YAML reads '~' as null: put it in quotes"),
)

SECTIONS: tuple[tuple[str, str], ...] = (
    # lines after a right file, which has 6
    ("queues2: !!omap [a: 1]", "7: queues2: is not known: did you mean 'queues'?"),
    ("app: on", "7: app: must be a text; it is true: put a text in quotes"),
    ("app: 010", "7: app: must be a text; it is 8: put a text in quotes"),
    ("app: 2024-01-02", "7: app: must be a text; it is a date: put a text in quotes"),
    ("app: !!binary aGk=", "7: app: must be a text; it is binary data"),
    ('app: "a\\nb"', "7: app: must have printable characters only"),
    ("shutdown_timeout: 1e400", "7: shutdown_timeout: must be a number; it is a text"),
    ("shutdown_timeout: -.inf", "7: shutdown_timeout: must be at least 0 seconds"),
    ("shutdown_timeout:\n  - 3", "7: shutdown_timeout: must be a number; it is a list"),
    ("log:", "7: log: must be a mapping, which may have level, format; nothing is"),
    ("log: {level: }", "7: log.level: must be one of debug, info, warn, error, critic"),
    ("log: {level: [info]}", "7: log.level: must be one of debug, info, warn, error"),
    ("log: {level: INFO}", "7: log.level: must be one of debug, info, warn, error, "),
    ("log: {level: warning}", "; did you mean 'warn'?"),
    ("log: {format: on}", "7: log.format: must be one of text, json; it is true"),
    ("log: {format: jsonl}", "7: log.format: must be one of text, json; did you mean"),
    ("http: ''", "7: http: '' is no endpoint, such as tcp:8080:interface=127.0.0.1: "),
    (
        "http: tcp",
        "7: http: 'tcp' is no endpoint, such as tcp:8080:interface=127.0.0.1",
    ),
    ("http: tcp", ": it lacks 'port'"),
    ("http: 'tcp:'", ": '' is no number"),
    ("http: tcp:web", ": 'web' is no number"),
    ("http: tcp:-1", ": there is no port -1"),
    ("http: tcp:80:backlog=x", ": 'x' is no number"),
    ("http: tcp:80:port=81", ": it got multiple values for argument 'port'"),
    ("http: http://localhost:80/", ": Unknown endpoint type: 'http'"),
    ("http: localhost:8080", ": Unknown endpoint type: 'localhost'"),
    ("http: systemd:domain=INET:index=0", ": there is nothing of this number or name"),
    ("http: {port: 80}", "7: http: must be a text; it is a mapping"),
    (
        "publisher: []",
        "7: publisher: must be a mapping, which may have broker, middlew",
    ),
    ("publisher: yes please", "7: publisher: must be a mapping, which may have"),
    ("publisher: {middleware: x}", "7: publisher.middleware: must be a list; it is a"),
    ("publisher: {middleware: [3]}", "7: publisher.middleware[0]: must be a text; it"),
    ("publisher: {confirm: false}", "7: publisher.confirm: is not known: known are "),
    ("exchanges: [a]", "7: exchanges: must be a mapping; it is a list"),
    ("exchanges: {a: []}", "7: exchanges.a: must be a mapping, which may have type"),
    ("exchanges: {a: no}", "7: exchanges.a: must be a mapping, which may have type"),
    ("exchanges: {a: {type: 3}}", "7: exchanges.a.type: must be a text; it is 3"),
    ("exchanges: {a: {arguments: {1: x}}}", "7: exchanges.a.arguments: a key must be"),
    ("exchanges: {a: {arguments: {b: !!set {c}}}}", "7: exchanges.a.arguments.b: must"),
)

BROKERS: tuple[tuple[str, str], ...] = (
    # the broker, in line 2; hunter2 is the password
    ("''", "broker: a host or URL is missing"),
    ("amqp://u:hunter2@[::1", "broker: an IPv6 address is written as [address]:port"),
    ("amqp://u:hunter2/@h", "broker: "),
    ("amqp://u:hunter2#@h", "broker: there is a '#'"),
    ("amqp://u:hunter2%zz@h", "broker: a '%' in the password"),
    ("u:hunter2@h", "broker: the port is not a number"),
    ("http://u:hunter2@h", "broker: unknown transport 'http': known are amqp"),
    ("amqp//u:hunter2@h", "broker: the port is not a number"),
    ("[amqp://u:hunter2@h, '']", "broker: one of several hosts or URLs is empty"),
    ("[amqp://u:hunter2@h, ~]", "broker.url: must be a text, or a list of texts; noth"),
    ("[[amqp://u:hunter2@h]]", "broker.url: must be a text, or a list of texts; it is"),
    ("{url: amqp://h, virtual_host: 3}", "broker.virtual_host: must be a text; it is"),
    ("{url: amqp://h, userid: {env: A, file: B}}", "broker.userid: must be a text, {"),
    ("{url: amqp://h, userid: {}}", "broker.userid: must be a text, {env: NAME} or"),
    ("{url: amqp://h, password: ~}", "broker.password: must be a text, {env: NAME} or"),
    ("{url: amqp://h, password: &hunter2 }", "nothing is there: leave the key out"),
    ("{url: amqp://h, password: 4711}", "broker.password: must be a text, {env: NAME}"),
    ("{url: amqp://h, password: {hunter2}}", "it is another mapping"),
    ("{url: amqp://h, password: {hunter2: hunter2}}", "it is another mapping"),
    ("{url: amqp://h, password: {File: x}}", "broker.password: must be a text, {env"),
    ("{url: amqp://h, password: {File: x}}", "; did you mean 'file'?"),
    ("{url: amqp://h, password: {env: ''}}", "broker.password: must be a name, after"),
    ("{url: amqp://h, password: {env: TXKOMBU_EMPTY}}", "'TXKOMBU_EMPTY' is empty"),
    ("{url: amqp://h, password: {file: ''}}", "broker.password: must be a name, after"),
    ("{url: amqp://h, password: {file: /}}", "file '/' cannot be read: Is a directory"),
    (
        '{url: amqp://h, password: {file: "a\\0b"}}',
        "broker.password: file 'a\\x00b' can",
    ),
    ("{url: amqp://h, password: {file: /dev/zero}}", "it has more than 65,536 bytes"),
    ("{url: amqp://h, password: {file: /dev/null}}", "file '/dev/null' is empty"),
    ("{url: amqp://h, tls: {}}", "broker: the amqp transport is not encrypted; use am"),
    ("{url: amqp://h?password=hunter2}", "broker: password cannot be used: the amqp"),
    ("{url: memory://h, tls: {verify: no}}", "broker: the memory transport is not"),
    ("{url: amqps://h, tls: []}", "broker.tls: must be a mapping, which may have cac"),
    ("{url: amqps://h, tls: {cacertfile: ''}}", "broker.tls.cacertfile: '' cannot be"),
    ("{url: amqps://h, tls: {cacertfile: /}}", "broker.tls.cacertfile: '/' cannot be"),
    ("{url: amqps://h, tls: {cacertfile: /dev/null}}", "broker.tls.cacertfile: /dev/n"),
    ("{url: amqps://h, tls: {certfile: /dev/null}}", "broker.tls.certfile: /dev/null"),
    ("{url: amqps://h, tls: {password: hunter2}}", "broker.tls.password: needs a cert"),
    ("{url: amqps://h, tls: {password: ~}}", "broker.tls.password: must be a text, {"),
    ("{url: amqp://h, heartbeat: no}", "broker.heartbeat: must be a number; it is f"),
    ("{url: amqp://h, connect_timeout: .inf}", "broker.connect_timeout: must be at l"),
    ("{url: amqp://h, wait_for_broker: 0}", "broker.wait_for_broker: must be true or"),
)

QUEUES: tuple[tuple[str, str], ...] = (
    # a queue of the file, in line 4
    ("[]", "queues.feeds: must be a mapping, which may have exchange"),
    ("''", "queues.feeds: must be a mapping, which may have exchange"),
    ("0", "queues.feeds: must be a mapping, which may have exchange"),
    ("no", "queues.feeds: must be a mapping, which may have exchange"),
    ("{exchange: ''}", "queues.feeds.exchange: there is no exchange ''"),
    ("{exchange: [feed]}", "queues.feeds.exchange: must be a text; it is a list"),
    ("{routing_key: 3}", "queues.feeds.routing_key: must be a text; it is 3: put a"),
    ("{routing_key: ~}", "queues.feeds.routing_key: must be a text; nothing is there"),
    ("{binding_arguments: {a: b}}", "queues.feeds.binding_arguments: is for the bind"),
    ("{bindings: ~}", "queues.feeds.bindings: must be a list; nothing is there"),
    ("{bindings: [{exchange: amq.topic, key: a}]}", "queues.feeds.bindings[0].key: is"),
    ("{expires: 0}", "queues.feeds.expires: must be at least 1 ms, not 0 s"),
    ("{message_ttl: 1h}", "queues.feeds.message_ttl: must be a number; it is a text"),
    ("{message_ttl: .nan}", "queues.feeds.message_ttl: must be at least 0 seconds"),
    ("{max_length: 1.0}", "queues.feeds.max_length: must be a whole number; it is 1.0"),
    ("{max_length_bytes: 1GB}", "queues.feeds.max_length_bytes: must be a whole numb"),
    ("{queue_type: quorom}", "queues.feeds.queue_type: must be one of classic, quorum"),
    ("{queue_arguments: []}", "queues.feeds.queue_arguments: must be a mapping; it is"),
    ("{queue_arguments: {x: 2024-01-01}}", "queues.feeds.queue_arguments.x: must be a"),
    ("{queue_arguments: {x: [[2024-01-01]]}}", "queues.feeds.queue_arguments.x: must"),
    ("{queue_arguments: {x: .nan}}", "queues.feeds.queue_arguments.x: brokers do not"),
    ("{queue_arguments: {x: {y: .inf}}}", "queues.feeds.queue_arguments.x: brokers do"),
    ("{durable: }", "queues.feeds.durable: must be true or false; nothing is there"),
    ("{durable: 'yes'}", "queues.feeds.durable: must be true or false; it is a text"),
)

CONSUMERS: tuple[tuple[str, str], ...] = (
    # what is said of a consumer, in line 6
    ("queues: []", "consumers[0].queues: must be a text, or a list of texts; the list"),
    ("queues: [3]", "consumers[0].queues: must be a text, or a list of texts; it is 3"),
    ("queues: [feeds, feeds]", "consumers[0].queues: queue 'feeds' is named twice"),
    ("queues: {feeds: }", "consumers[0].queues: must be a text, or a list of texts; "),
    ("accept: ['*']", "consumers[0].accept: there is no serializer '*': known are "),
    ("accept: [3]", "consumers[0].accept[0]: must be a text; it is 3"),
    ("concurrency: 1e3", "consumers[0].concurrency: must be a whole number; it is a t"),
    ("prefetch_count: 1_000_000", "consumers[0].prefetch_count: must be 0 to 65535, "),
    ("auto_declare: 'no'", "consumers[0].auto_declare: must be true, false or passive"),
    ("on_failure: no", "consumers[0].on_failure: must be the name of a policy, or a"),
    ("on_failure: {3: x}", "consumers[0].on_failure: a key must be a text"),
    ("on_failure: {retry: }", "consumers[0].on_failure: must be a mapping of argument"),
    ("on_failure: {delayed: {park: a, delays: 3}}", "must be a list of numbers of sec"),
    ("on_failure: {delayed: {park: ~}}", "must be the name of a queue, park of delay"),
)

HANDLERS: tuple[tuple[str, str, str], ...] = (
    # a module, what of it is named, and what is told
    ("class E(BaseException): pass\nraise E('x\\ny')", "x", "imported: E: x y (/"),
    ("raise SystemExit", "x", "cannot be imported: SystemExit"),
    ("import asyncio\nraise asyncio.CancelledError", "x", "imported: CancelledError"),
    ("raise RuntimeError('a\\nb')", "x", "cannot be imported: RuntimeError: a b ("),
    ("import nowhere.more", "x", "imported: ModuleNotFoundError: No module named 'no"),
    (
        "def __getattr__(name): raise SystemExit(3)",
        "x",
        "cannot be read: SystemExit: 3",
    ),
    ("def x(channel): raise RuntimeError('a\\nb')", "x", "handler: RuntimeError: a b"),
    ("def x(channel): raise SystemExit(0)", "x", "handler: SystemExit: 0"),
    ("def x(channel): raise OSError", "x", "handler: OSError"),
    ("def x(body, message): yield", "x", "is a generator function: is @inlineCallback"),
    ("async def x(body, message): yield", "x", "is a generator function: it must not"),
)


class WrongFileTests(FaultCase):
    """Further faults of files."""

    def told(self, text: str, line: int, told: str) -> None:
        """One line tells the fault, and the line of the file where it is."""
        found = self.check(text, told)
        self.assertTrue(found.startswith(f"service.yaml:{line}: "), found)
        self.assertNotIn("hunter2", found)
        self.assertNotIn("4711", found)

    def test_texts(self) -> None:
        """What is no YAML is told with its line, and without what it says."""
        for text, told in TEXTS:
            self.assertNotIn("hunter2", self.check(text, told))

    def test_keys(self) -> None:
        """Keys that YAML does not read as texts are told, wherever they are."""
        for key, told in KEYS:
            file = RIGHT.replace("feeds: {}", f"feeds: {{}}\n  {key}: {{}}")
            self.told(file, 5, f"queues: a key must be a text; {told}")
            self.told(f"{RIGHT}{key}: x", 7, f" a key must be a text; {told}")

    def test_sections(self) -> None:
        """The sections of a file."""
        for text, told in SECTIONS:
            self.told(f"{RIGHT}{text}\n", 7, told)

    def test_containers(self) -> None:
        """What should be a list or a mapping, and is not."""
        for consumers, told in (
            ("", "consumers: must be a list; nothing is there"),
            (" {handler: x}", "consumers: must be a list; it is a mapping"),
            (f" {H}:Feeds", "consumers: must be a list; it is a text"),
            (
                f" [{H}:Feeds]",
                "consumers[0]: must be a mapping, which may have handler",
            ),
            (" [~]", "consumers[0]: must be a mapping, which may have handler"),
        ):
            self.told(f"broker: memory://x\nconsumers:{consumers}", 2, told)
        for queues in ("", " [feeds]", " feeds"):
            file = RIGHT.replace("queues:\n  feeds: {}", f"queues:{queues}")
            self.told(file, 3, "queues: must be a mapping; ")

    def test_brokers(self) -> None:
        """The broker, its credentials and its TLS; nothing shows the password."""
        self.patch(os, "environ", {**os.environ, "TXKOMBU_EMPTY": ""})
        for text, told in BROKERS:
            self.told(RIGHT.replace("memory://x", text), 2, told)

    def test_publisher_broker(self) -> None:
        """The broker of the publisher."""
        for broker, told in (
            ("amqp://u:hunter2@h:x", "publisher.broker: the port is not a number"),
            ("{url: amqp://h, password: 4711}", "publisher.broker.password: must be a"),
            ("{urls: amqp://h}", "publisher.broker.urls: is not known: did you mean"),
        ):
            self.told(f"{RIGHT}publisher: {{broker: {broker}}}", 7, told)

    def test_queues(self) -> None:
        """Queues and their arguments."""
        for text, told in QUEUES:
            self.told(RIGHT.replace("feeds: {}", f"feeds: {text}"), 4, told)
        for name, told in (
            ("''", "a queue needs a name"),
            ("amq.x", "is the broker's"),
        ):
            self.told(RIGHT.replace("feeds: {}", f"{name}: {{}}"), 4, told)

    def test_consumers(self) -> None:
        """What a file says of consumers."""
        for text, told in CONSUMERS:
            item = f"{{handler: '{H}:Feeds', {text}}}"
            self.told(RIGHT.replace(f"handler: {H}:Feeds", item), 6, told)

    def test_misspelt(self) -> None:
        """A key that has to be there and is misspelt is told once."""
        self.told(RIGHT.replace("broker", "brokers"), 2, "did you mean 'broker'?")
        self.told(RIGHT.replace("handler:", "handlr:"), 6, "did you mean 'handler'?")

    def test_handlers(self) -> None:
        """Modules that fail, exit, or have what cannot handle messages."""
        for number, (code, name, told) in enumerate(HANDLERS):
            module = f"wrong_handlers_{number}"
            folder = Path(self.mktemp())
            folder.mkdir()
            (folder / f"{module}.py").write_text(code)
            here = os.getcwd()
            os.chdir(folder)
            try:
                self.told(RIGHT.replace(f"{H}:Feeds", f"{module}:{name}"), 6, told)
            finally:
                os.chdir(here)

    def test_generators(self) -> None:
        """What would begin nothing is no handling, no middleware and no policy."""
        told = "is a generator function: is @inlineCallbacks missing?"
        self.told(RIGHT.replace(":Feeds", ":Yielding"), 6, told)
        for key, path in (
            (f"middleware: ['{H}:yielding']", "middleware[0]"),
            (f"on_failure: '{H}:yielding_policy'", "on_failure"),
        ):
            item = f"{{handler: '{H}:Feeds', {key}}}"
            file = RIGHT.replace(f"handler: {H}:Feeds", item)
            self.told(file, 6, f"consumers[0].{path}: ")
            self.told(file, 6, told)

    def test_merged(self) -> None:
        """A fault of what an alias adds is told with the line where it stands."""
        file = RIGHT.replace(
            "memory://x", "\n  <<: &b\n    url: memory://x\n    tls: 3"
        )
        self.told(file, 5, "broker.tls: must be a mapping")

    def test_no_files(self) -> None:
        """A folder, a name that cannot be one, and a device are refused."""
        for name, told in (
            (self.mktemp(), "cannot be read: "),
            ("a\0b", "cannot be read: "),
            ("/dev/zero", "has more than 1,048,576 bytes"),
            ("/dev/null", "is empty"),
        ):
            error = self.assertRaises(ConfigurationError, read_file, name)
            self.assertIn(told, str(error))
            self.assertEqual(len(str(error).splitlines()), 1)

    def test_declared_twice(self) -> None:
        """Two consumers cannot declare one queue or exchange with other properties."""
        file = RIGHT.replace("feeds: {}", "feeds: {max_length: 3, durable: false}")
        both = f"{file}  - {{handler: '{H}:plain', queues: feeds}}\n"
        self.told(
            both,
            7,
            "consumers[1].queues: queue 'feeds' has another durable, arguments than "
            "consumers[0] declares it with: the broker takes only one",
        )
        fine = both.replace("queues: feeds", "queues: feeds, auto_declare: passive")
        path = Path(self.mktemp())
        path.write_text(fine)
        self.assertEqual(len(read_file(str(path)).consumers), 2)

    def test_exchanges_declared_twice(self) -> None:
        """The same goes for exchanges, but for those that every broker has."""
        file = RIGHT.replace("feeds: {}", "feeds: {exchange: media}")
        file += "exchanges: {media: {type: topic}}\n"
        file = file.replace("Feeds\n", "Feeds\n    queues: feeds\n")
        marked = f"  - handler: {H}:of_media\n"
        self.told(
            file.replace("exchanges:", f"{marked}exchanges:"),
            8,
            "consumers[1].queues: exchange 'media' has another type than consumers[0] "
            "declares it with",
        )
        path = Path(self.mktemp())
        path.write_text(
            RIGHT.replace("feeds: {}", "feeds: {exchange: amq.topic}").replace(
                "Feeds\n",
                f"Feeds\n    queues: feeds\n  - handler: {H}:of_predeclared\n",
            )
        )
        self.assertEqual(len(read_file(str(path)).consumers), 2)
