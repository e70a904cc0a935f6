"""The commands that publish, show, declare and destroy, on a broker in memory."""

from __future__ import annotations

import json
import os
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from tests.support.commands import Ran, begin
from txkombu import Exchange, Message, Queue
from txkombu.cli.get import GetOptions
from txkombu.cli.options import value_of
from txkombu.cli.publish import PublishOptions
from txkombu.testing import BrokerTestCase


class CommandCase(BrokerTestCase):
    """Runs commands at a broker that has a queue C{jobs}."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = Queue("jobs", max_priority=9)(self.connection)
        self.result_of(self.queue.declare())

    def begin(
        self, command: str, stdin: bytes | IO[bytes] = b"", **options: bool | int
    ) -> Ran:
        """Begin a command, as C{tests.support.commands.begin} does."""
        ran = begin(command, self.connect(), stdin, **options)  # type: ignore[arg-type]  # the rest
        self.flush()
        return ran

    def run_command(
        self, command: str, stdin: bytes = b"", code: int = 0, **options: bool | int
    ) -> Ran:
        """Run a command, which has to end with that exit code."""
        ran = self.begin(command, stdin, **options)
        ended: list[int] = []
        ran.code.addCallback(ended.append)
        self.flush()
        self.assertEqual(ended, [code], ran.err)
        return ran

    def put(self, *bodies: object, **options: Any) -> None:
        """Publish messages to the queue."""
        producer = self.connection.Producer(routing_key="jobs")
        for body in bodies:
            self.result_of(producer.publish(body, **options))
        self.result_of(producer.close())

    def got(self) -> Message:
        """Take the next message of the queue."""
        message = self.result_of(self.queue.get(no_ack=True))
        assert isinstance(message, Message)
        return message

    def left(self) -> list[bytes]:
        """Take the bodies of all messages of the queue."""
        bodies = []
        while message := self.result_of(self.queue.get(no_ack=True)):
            bodies.append(message.body)
        return bodies

    def assert_refused(self, command: str, text: str, stdin: bytes = b"") -> None:
        """A command is a usage error of one line."""
        ran = self.run_command(command, stdin, 2)
        self.assertIn(text, ran.err)
        self.assertEqual(ran.err.count("\n"), 1)


class _Endless(BytesIO):
    """A file whose last line never ends."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size) or b"x" * (size or 0)


class _Broken(BytesIO):
    """A file whose rest cannot be read."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise OSError("the disk is broken")
        return data


class PublishTests(CommandCase):
    """C{txkombu publish}"""

    def test_argument(self) -> None:
        """The argument is a text, and options may stand before and after it."""
        ran = self.run_command("publish -q jobs 'Grüß Gott' -H n=1 -H s=x")
        message = self.got()
        self.assertEqual(
            (message.payload, message.content_type), ("Grüß Gott", "text/plain")
        )
        self.assertEqual(dict(message.headers), {"n": 1, "s": "x"})
        self.assertEqual(ran.err, "published 1 message, confirmed\n")

    def test_properties(self) -> None:
        """Each property has its type; expiration is in seconds."""
        self.run_command(
            "publish -q jobs x -p priority=5 -p expiration=1.5 -p message_id=007 "
            "-p delivery_mode=1 -p timestamp=86400"
        )
        properties = self.got().properties
        shown = {key: str(properties[key]) for key in properties}
        self.assertEqual(shown["timestamp"], "1970-01-02 00:00:00+00:00")
        self.assertEqual(
            (
                properties["priority"],
                properties["expiration"],
                properties["message_id"],
            ),
            (5, "1500", "007"),
        )
        self.assertEqual(properties["delivery_mode"], 1)

    def test_serializer(self) -> None:
        """With a serializer the body is read as JSON, and sent in that form."""
        for name in ("json", "yaml", "msgpack"):
            self.run_command(f"publish -q jobs -s {name}", b' {"n": [1, null]}\n')
            message = self.got()
            self.assertEqual(message.payload, {"n": [1, None]})
            self.assertIn(name, str(message.content_type))
        ran = self.run_command("publish -q jobs -s json '{'", code=1)
        self.assertIn("the body is no JSON: ", ran.err)
        self.run_command("publish -q jobs -s json", b"\xff", code=1)
        self.assertEqual(self.left(), [])

    def test_content_type(self) -> None:
        """With a content type the body is sent as it is; bytes need none."""
        self.run_command("publish -q jobs '{\"a\":  1}' -t application/json")
        message = self.got()
        self.assertEqual((message.body, message.payload), (b'{"a":  1}', {"a": 1}))
        self.run_command("publish -q jobs", b"\xff\x00")
        self.assertEqual(self.got().payload, b"\xff\x00")

    def test_file(self) -> None:
        """A file is one message, however it ends."""
        path = Path(self.mktemp())
        path.write_bytes(b"one\ntwo\n")
        self.run_command(f"publish -q jobs --file {path}")
        self.run_command("publish -q jobs --file -", b"three\n")
        self.assertEqual(self.left(), [b"one\ntwo\n", b"three\n"])
        ran = self.run_command("publish -q jobs --file nowhere", code=1)
        self.assertIn("No such file or directory: 'nowhere'\n", ran.err)

    def test_lines(self) -> None:
        """Each line is a message, without its end; the last one need not have one."""
        ran = self.run_command("publish -q jobs --lines", b"one\ntwo\r\n\nfour")
        self.assertEqual(self.left(), [b"one", b"two", b"", b"four"])
        self.assertEqual(ran.err, "published 4 messages, confirmed\n")
        path = Path(self.mktemp())
        path.write_bytes(b"x" * 70_000 + b"\n" + b"y" * 70_000 + b"\n")
        self.run_command(f"publish -q jobs --lines --file {path}")
        self.assertEqual([len(each) for each in self.left()], [70_000, 70_000])

    def test_many_lines(self) -> None:
        """Many are published as the broker takes them, and a terminal shows a bar."""
        path = Path(self.mktemp())
        path.write_bytes(b"".join(b"%d\n" % n for n in range(20_000)))
        ran = self.run_command(f"publish -q jobs -l -f {path}", terminal=True)
        self.assertTrue(ran.err.endswith("published 20,000 messages, confirmed\n"))
        self.assertEqual(self.left(), [b"%d" % n for n in range(20_000)])

    def test_line_fails(self) -> None:
        """The first line that cannot be sent ends it, after those before."""
        lines = b"1\n2\n{\n4\n"
        ran = self.run_command("publish -q jobs -l -s json", lines, code=1)
        self.assertEqual(self.left(), [b"1", b"2"])
        self.assertIn("published 2 messages, confirmed\n", ran.err)

    def test_exchange(self) -> None:
        """A message goes to an exchange with a routing key."""
        logs = Exchange("logs", "topic")
        self.result_of(Queue("errors", logs, "*.error")(self.connection).declare())
        self.run_command("publish -e logs -k db.error disk")
        message = self.result_of(Queue("errors")(self.connection).get(no_ack=True))
        assert message is not None
        self.assertEqual(message.payload, "disk")

    def test_unroutable(self) -> None:
        """What no queue gets, and an exchange that is not there, fail."""
        ran = self.run_command("publish -q nowhere x", code=1)
        self.assertIn("publish: 312 NO_ROUTE: exchange '' has no binding", ran.err)
        ran = self.run_command("publish -e nowhere x", code=1)
        self.assertIn("no exchange 'nowhere'", ran.err)
        self.assertIn("published 0 messages, confirmed\n", ran.err)

    def test_wrong(self) -> None:
        """Options that contradict each other, or make no sense, are refused."""
        for arguments, text in (
            ("x", "no --queue and no --exchange given"),
            ("x -q jobs -e logs", "not both"),
            ("x -q jobs -s json -t text/plain", "not both"),
            ("x -q jobs --lines", "not both"),
            ("x y -q jobs", "Wrong number of arguments. "),
            ("x -q jobs -y", "option -y not recognized"),
            ("x -q jobs --lins=3", "option --lins not recognized"),
            ("x -q jobs -H n", "--header: 'n' is not of the form NAME=VALUE"),
            ("x -q jobs -p prioriti=1", "did you mean 'priority'?"),
            ("x -q jobs -p priority=high", "--property priority: 'high' is no number"),
            ("x -q jobs -p expiration=soon", "a number of seconds is needed"),
        ):
            self.assert_refused(f"publish {arguments}", text)
        for arguments, text in (
            ("-p priority=1000", "priority must be 0 to 255, not 1000"),
            ("-p delivery_mode=often", "delivery_mode must be 1, 2,"),
            ("-s odd", "there is no serializer 'odd'"),
        ):
            ran = self.run_command(f"publish -q jobs 1 {arguments}", code=1)
            self.assertIn(text, ran.err)

    def test_interrupted(self) -> None:
        """Ctrl-C waits for the verdicts on what was sent, and tells how many."""
        self.broker.hold_confirms()
        ran = self.begin("publish -q jobs --lines", b"one\ntwo\n")
        ran.code.cancel()
        self.assert_waits_for_verdicts(ran, 130)
        self.assertEqual(ran.err, "published 2 messages, confirmed\n")

    def assert_waits_for_verdicts(self, ran: Ran, code: int) -> None:
        """A command ends when the verdicts come that were held, with that code."""
        codes: list[int] = []
        ran.code.addCallback(codes.append)
        self.flush()
        self.assertEqual((codes, ran.err), ([], ""))
        self.broker.release_confirms()
        self.flush()
        self.assertEqual(codes, [code])

    def test_unreadable(self) -> None:
        """
        A line that is too long, or cannot be read, waits for the verdicts on those
        before, and tells how many.
        """
        for source, text in (
            (_Endless(b"one\ntwo\n"), "the body is larger than 128 MiB, which no"),
            (_Broken(b"one\ntwo\n"), "the disk is broken"),
        ):
            self.broker.hold_confirms()
            ran = self.begin("publish -q jobs --lines", source)
            self.assert_waits_for_verdicts(ran, 1)
            self.assertIn("published 2 messages, confirmed\n", ran.err)
            self.assertIn(text, ran.err)
            self.assertEqual(self.left(), [b"one", b"two"])


class ShowTests(CommandCase):
    """C{txkombu consume}, C{get} and C{peek}"""

    def test_get(self) -> None:
        """One message is written, and is gone; an empty queue is a failure."""
        self.put("one", "two")
        ran = self.run_command("get jobs --format raw")
        self.assertEqual(ran.out, b"one")
        self.assertEqual(self.left(), [b"two"])
        ran = self.run_command("get jobs", code=1)
        self.assertIn("get: queue 'jobs' is empty\n", ran.err)
        self.assertIn("no queue 'jobz'", self.run_command("get jobz", code=1).err)

    def test_no_name(self) -> None:
        """An empty name of a queue is refused: brokers take it for another one."""
        for command in ("get", "peek", "consume", "purge --yes"):
            self.assert_refused(f"{command} ''", "the name of the queue is empty")

    def test_peek(self) -> None:
        """Messages are shown and stay, in their order."""
        self.put("one", "two", "three")
        ran = self.run_command("peek jobs -n 2 --format raw")
        self.assertEqual(ran.out, b"one\ntwo\n")
        first = self.got()
        self.assertEqual((first.body, first.redelivered), (b"one", True))
        self.assertEqual(self.left(), [b"two", b"three"])
        ran = self.run_command("peek jobs")
        self.assertEqual(ran.err, "queue 'jobs' is empty\n")

    def test_consume_count(self) -> None:
        """So many messages are written, and no more are touched."""
        self.put("one", "two", "three")
        ran = self.run_command("consume jobs -n 2 -f raw")
        self.assertEqual(ran.out, b"one\ntwo\n")
        third = self.got()
        self.assertEqual((third.body, third.redelivered), (b"three", False))

    def test_consume(self) -> None:
        """Without a count it waits for further ones, until Ctrl-C."""
        self.put("one")
        ran = self.begin("consume jobs -f raw")
        self.put("two")
        self.flush()
        self.assertEqual(ran.out, b"one\ntwo\n")
        codes: list[int] = []
        ran.code.addCallback(codes.append)
        ran.code.cancel()
        self.flush()
        self.assertEqual((codes, ran.err), ([130], ""))
        self.assertEqual(self.left(), [])

    def test_consume_declares_nothing(self) -> None:
        """A queue that is not there is an error, and not made."""
        for _ in range(2):
            ran = self.run_command("consume jobz", code=1)
            self.assertIn("no queue 'jobz'", ran.err)

    def test_broken_pipe(self) -> None:
        """What nobody read is not acknowledged; no error is shown."""
        for command in ("consume jobs", "peek jobs"):
            self.put("one", "two", "three")
            ran = self.run_command(command, code=141, writes=1)
            self.assertEqual(ran.err, "")
            kept = [b"one"] if command == "peek jobs" else []
            self.assertEqual(self.left(), [*kept, b"two", b"three"])
        self.put("one")
        self.run_command("get jobs", code=141, writes=0)
        self.assertEqual(self.left(), [b"one"])

    def test_reader_goes_away(self) -> None:
        """It ends when its reader does, though no message comes."""
        self.put("one")
        ran = self.begin("consume jobs -f raw")
        ran.unread.callback(None)
        codes: list[int] = []
        ran.code.addCallback(codes.append)
        self.flush()
        self.assertEqual((codes, ran.out, ran.err), ([141], b"one\n", ""))

    def test_reader_went_away(self) -> None:
        """So it does if the reader went away before it waits for the next one."""
        ran = begin("consume jobs -f raw", self.connect())
        ran.unread.callback(None)
        codes: list[int] = []
        ran.code.addCallback(codes.append)
        self.flush()
        self.assertEqual(codes, [141])

    def test_session_is_lost(self) -> None:
        """After a lost session it goes on by itself."""
        self.put("one")
        ran = self.begin("consume jobs -f raw")
        self.broker.drop()
        self.advance(5)
        self.put("two")
        self.assertEqual(ran.out, b"one\ntwo\n")
        ran.code.cancel()
        self.flush()
        self.assertEqual(self.left(), [])

    def test_pretty(self) -> None:
        """A message is shown with its properties and headers, one for each line."""
        self.put({"ä": [1]}, headers={"n": 1, "s": "a\x1b[2Jb"}, message_id="m1")
        ran = self.run_command("get jobs")
        shown = ran.out.decode()
        self.assertTrue(
            shown.startswith("--- exchange '', routing key 'jobs'\n"), shown
        )
        for line in ("message_id: m1", "n: 1", "s: a\\x1b[2Jb"):
            self.assertIn(f"\n{line}\n", shown)
        self.assertTrue(shown.endswith('\n\n{\n  "ä": [\n    1\n  ]\n}\n'), shown)

    def test_pretty_text(self) -> None:
        """A text is shown as it is, but for what a terminal would obey."""
        self.put("a\n\tb\x1b]0;x\x07")
        self.assertTrue(
            self.run_command("get jobs").out.endswith(b"\n\na\n\tb\\x1b]0;x\\x07\n")
        )
        self.put(b"\xff\xfe")
        self.assertTrue(self.run_command("get jobs").out.endswith(b"\n\n(2 bytes)\n"))

    def test_raw_on_a_terminal(self) -> None:
        """A terminal gets no character that it would obey; a file gets all bytes."""
        self.put(b"a\n\tb\x1b]0;x\x07\xff\xc2\x9b2J\r")
        options = GetOptions()
        options.parseOptions(["jobs", "-b", "memory://x", "-f", "raw"])
        message = self.got()
        self.assertEqual(options.shown(message, False), message.body)
        self.assertEqual(
            options.shown(message, True).decode(),
            "a\n\tb\\x1b]0;x\\x07\ufffd\\x9b2J\\r",
        )

    def test_json(self) -> None:
        """A message is one line of JSON, with bytes as Base64."""
        self.put({"n": 1}, "text\n", b"\xff", headers={"h": b"\xfe"}, timestamp=0)
        ran = self.run_command("consume jobs -n 3 -f json")
        one, two, three = map(json.loads, ran.out.splitlines())
        self.assertEqual(
            [one["body"], two["body"], three["body"]], [{"n": 1}, "text\n", None]
        )
        self.assertEqual(three["body_base64"], "/w==")
        self.assertEqual(one["headers"], {"h": "/g=="})
        self.assertEqual(one["properties"]["timestamp"], "1970-01-01T00:00:00+00:00")
        self.assertEqual((one["routing_key"], one["redelivered"]), ("jobs", False))

    def test_not_decoded(self) -> None:
        """What cannot be decoded, or must not be, is shown as text or as bytes."""
        self.put("{", content_type="application/json")
        self.put(object, serializer="pickle")
        ran = self.run_command("consume jobs -n 2 -f json")
        one, two = map(json.loads, ran.out.splitlines())
        self.assertEqual((one["body"], two["body"]), ("{", None))
        self.assertTrue(two["body_base64"])

    def test_odd_values(self) -> None:
        """Values that JSON has not are shown as texts; what has no end, as it came."""
        for text in ("{1: .nan, b: !!binary /w==, d: 2024-01-31}", "&a [*a]"):
            self.put(text, content_type="application/x-yaml")
        self.put('"\\ud800"', content_type="application/json")
        ran = self.run_command("peek jobs -f json")
        shown = [
            json.loads(line, parse_constant=self.fail) for line in ran.out.splitlines()
        ]
        self.assertEqual(shown[0]["body"], {"1": "nan", "b": "/w==", "d": "2024-01-31"})
        self.assertEqual(shown[1]["body"], "&a [*a]")
        self.assertEqual(shown[2]["body"], "\ud800")
        ran = self.run_command("peek jobs")
        self.assertTrue(ran.out.endswith(b"\n\n\\ud800\n"), ran.out)

    def test_wrong(self) -> None:
        """A format or a count that makes no sense is refused."""
        self.assert_refused(
            "get jobs -f jsn", "there is no format 'jsn'; did you mean 'json'?"
        )
        self.assert_refused("peek jobs -n 0", "--count: '0' is no number from 1 on")
        self.assert_refused("consume jobs -n many", "--count: 'many' is no number")
        self.assert_refused("consume", "Wrong number of arguments")


class DeclareTests(CommandCase):
    """C{txkombu declare}, C{purge} and C{delete}"""

    def test_queue(self) -> None:
        """A queue is declared with its type, arguments and bindings."""
        self.run_command("declare -e logs --type topic")
        ran = self.run_command(
            "declare errors --type quorum -a x-max-length=2 --bind 'logs=*.error' "
            "--bind logs=all"
        )
        self.assertEqual(ran.err, "declared queue 'errors'\n")
        same = Queue("errors", queue_type="quorum", max_length=2)
        self.result_of(same(self.connection).declare())
        for key in ("db.error", "all"):
            self.run_command(f"publish -e logs -k {key} x")
        ran = self.run_command("declare errors --type classic", code=1)
        self.assertIn("406 PRECONDITION_FAILED", ran.err)

    def test_exchange(self) -> None:
        """An exchange is declared, and bound to another."""
        self.run_command("declare -e logs --type fanout --transient")
        ran = self.run_command("declare -e all --type fanout --bind logs")
        self.assertEqual(ran.err, "declared exchange 'all'\n")
        same = Exchange("logs", "fanout", durable=False)
        self.result_of(same(self.connection).declare())

    def test_transient(self) -> None:
        """A transient queue does not survive a restart; durable is the default."""
        self.run_command("declare passing --transient")
        self.run_command("declare passing --durable", code=1)
        self.run_command("declare lasting")
        self.run_command("declare lasting --durable")

    def test_purge(self) -> None:
        """A queue is purged when somebody says yes."""
        self.put("one", "two")
        ran = self.run_command("purge jobs", b"n\n", code=1, terminal=True)
        self.assertIn("Drop all messages of queue 'jobs'? [y/N] ", ran.err)
        self.assertIn("nothing was done", ran.err)
        ran = self.run_command("purge jobs", b"yes\n", terminal=True)
        self.assertTrue(ran.err.endswith("dropped 2 messages of queue 'jobs'\n"))
        self.put("three")
        ran = self.run_command("purge jobs --yes")
        self.assertEqual(ran.err, "dropped 1 message of queue 'jobs'\n")

    def test_nobody_to_ask(self) -> None:
        """Without a terminal, nothing is destroyed unless --yes is given."""
        self.put("one")
        for command in ("purge jobs", "delete jobs", "delete -e amq.direct"):
            self.assert_refused(command, "there is no terminal to ask on: give --yes")
        self.assertEqual(self.left(), [b"one"])

    def test_delete_queue(self) -> None:
        """The question tells how many messages are lost with a queue."""
        self.put("one")
        self.run_command("delete jobs --yes --if-empty", code=1)
        ran = self.run_command("delete jobs", b"y\n", terminal=True)
        self.assertIn("Delete queue 'jobs', which has 1 message? ", ran.err)
        self.assertTrue(ran.err.endswith("deleted queue 'jobs' with 1 message\n"))
        ran = self.run_command("delete jobs --yes", code=1)
        self.assertIn("no queue 'jobs'", ran.err)

    def test_delete_exchange(self) -> None:
        """An exchange is deleted, unless it is not there, or is in use."""
        self.run_command("declare -e logs -t fanout")
        self.run_command("declare errors --bind logs")
        self.run_command("delete -e logs -y --if-unused", code=1)
        ran = self.run_command("delete -e logs --yes")
        self.assertEqual(ran.err, "deleted exchange 'logs'\n")
        self.run_command("delete -e logs --yes", code=1)

    def test_wrong(self) -> None:
        """A queue or an exchange is needed, and not both."""
        for command, text in (
            ("declare", "give a QUEUE, or --exchange EXCHANGE, not both"),
            ("delete", "give a QUEUE, or --exchange EXCHANGE, not both"),
            ("declare a -e b", "not both"),
            ("delete a -e b", "not both"),
            ("declare a --durable --transient", "not both"),
            ("declare a --bind =x", "--bind: the exchange is missing"),
            ("declare a -a x", "--argument: 'x' is not of the form NAME=VALUE"),
            ("delete -e logs --if-empty", "--if-empty is for queues"),
        ):
            self.assert_refused(command, text)


class OptionsTests(CommandCase):
    """What all commands share."""

    def test_broker(self) -> None:
        """The URL is that of --broker, else of TXKOMBU_BROKER; one is needed."""
        self.patch(os, "environ", {**os.environ, "TXKOMBU_BROKER": "memory://env"})
        for arguments, url in (
            ([], "memory://env"),
            (["-b", "memory://a"], "memory://a"),
        ):
            options = PublishOptions()
            options.parseOptions(["-q", "jobs", *arguments])
            self.assertEqual(options.connection.as_uri(), url)
        os.environ["TXKOMBU_BROKER"] = "memry://s3cret"
        ran = begin("get jobs", None)
        self.assertIn("TXKOMBU_BROKER: unknown transport 'memry'", ran.err)
        del os.environ["TXKOMBU_BROKER"]
        ran = begin("get jobs", None)
        self.assertIn("no --broker given, such as ", ran.err)

    def test_password_file(self) -> None:
        """The password is read at each login, without the line break."""
        path = Path(self.mktemp())
        path.write_bytes(b"s3cret")
        options = PublishOptions()
        options.parseOptions(
            ["-q", "jobs", "-b", "amqp://ann@host", "--password-file", str(path)]
        )
        settings = options.connection.core.settings
        for written, password in ((b"other", "other"), (b"third \r\n", "third ")):
            path.write_bytes(written)
            login = self.successResultOf(settings.login_at(settings.alternates[0]))
            self.assertEqual((login.userid, login.password), ("ann", password))

    def test_password_file_is_wrong(self) -> None:
        """A file that cannot be read is one line."""
        self.assert_refused(
            "get jobs --password-file nowhere",
            "--password-file: file 'nowhere' cannot be read: No such file or directory",
        )
        path = Path(self.mktemp())
        path.write_bytes(b"\xff")
        self.assert_refused(f"get jobs --password-file {path}", "it is not UTF-8")

    def test_values(self) -> None:
        """Values are what JSON has, but for texts, which need no quotes."""
        for text, value in (
            ("1", 1),
            ("1.5", 1.5),
            ("true", True),
            ("[1]", [1]),
            ("007", "007"),
            ("yes", "yes"),
            ("NaN", "NaN"),
            ('"7"', "7"),
            ("", ""),
        ):
            self.assertEqual(value_of(text), value)
