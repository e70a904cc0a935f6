"""The commands on RabbitMQ, in this process and as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from uuid import uuid4

from twisted.internet import reactor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.support.commands import Ran, begin
from tests.support.processes import SECONDS, environment
from tests.support.rabbitmq import rabbitmq
from txkombu import BrokerConnection, Queue


def withdraw(call: IDelayedCall) -> None:
    """End the wait for a call, unless it was made: the command can be faster."""
    if call.active():
        call.cancel()


class RabbitMQCase(TestCase):
    """Runs commands in this process."""

    timeout = 120

    def setUp(self) -> None:
        self.url = rabbitmq().url
        self.connection = BrokerConnection(self.url)
        self.addCleanup(self.connection.close)

    async def run_command(
        self, command: str, stdin: bytes = b"", code: int = 0, **options: Any
    ) -> Ran:
        """Run a command, which has to end with that exit code."""
        ran = begin(command, BrokerConnection(self.url), stdin, **options)
        self.assertEqual(await ran.code, code, ran.err)
        return ran

    async def queue(self, **options: Any) -> str:
        """Declare a queue that the test deletes; gives its name."""
        queue = Queue(f"cli-{uuid4().hex}", **options)(self.connection)
        await queue.declare()
        self.addCleanup(queue.delete)
        return queue.name

    async def until_there_are(self, count: int, name: str) -> None:
        """Wait until so many messages are in a queue."""
        queue = Queue(name)(self.connection)
        while (await queue.queue_declare(passive=True)).message_count != count:
            await deferLater(IReactorTime(reactor), 0.01)

    async def bodies_of(self, name: str) -> list[object]:
        """Take all messages of a queue, and give what is in them."""
        queue, bodies = Queue(name)(self.connection), []
        while message := await queue.get(no_ack=True):
            bodies.append(message.payload)
        return bodies


class CommandTests(RabbitMQCase):
    """What is published is shown."""

    async def test_publish_and_consume(self) -> None:
        """Lines are published, and consumed in order, no more than were asked for."""
        name = await self.queue()
        lines = b"".join(b"%d\n" % n for n in range(3_000))
        ran = await self.run_command(f"publish -q {name} -l -s json", lines)
        self.assertEqual(ran.err, "published 3,000 messages, confirmed\n")
        ran = await self.run_command(f"consume {name} -n 100 -f json")
        bodies = [json.loads(line)["body"] for line in ran.out.splitlines()]
        self.assertEqual(bodies, list(range(100)))
        message = await Queue(name)(self.connection).get(no_ack=True)
        assert message is not None
        self.assertEqual((message.payload, message.redelivered), (100, False))

    async def test_peek(self) -> None:
        """Messages go back in their order, into a quorum queue, too."""
        for options in ({}, {"queue_type": "quorum"}):
            name = await self.queue(**options)
            await self.run_command(f"publish -q {name} -l", b"1\n2\n3\n4\n")
            for _ in range(2):
                ran = await self.run_command(f"peek {name} -n 3 -f raw")
                self.assertEqual(ran.out, b"1\n2\n3\n")
                await self.until_there_are(4, name)
            ran = await self.run_command(f"get {name} -f raw")
            self.assertEqual(ran.out, b"1")
            self.assertEqual(await self.bodies_of(name), ["2", "3", "4"])

    async def test_declare_and_delete(self) -> None:
        """What was declared is deleted; errors are those of the broker."""
        name = f"cli-{uuid4().hex}"
        await self.run_command(f"declare {name} --type quorum -a x-max-length=10")
        ran = await self.run_command(f"declare {name} --type classic", code=1)
        self.assertIn("406 PRECONDITION_FAILED - inequivalent arg", ran.err)
        await self.run_command(f"publish -q {name} x")
        ran = await self.run_command(f"purge {name} -y")
        self.assertEqual(ran.err, f"dropped 1 message of queue {name!r}\n")
        await self.run_command(f"delete {name} -y")
        ran = await self.run_command(f"publish -q {name} x", code=1)
        self.assertIn("312 NO_ROUTE", ran.err)

    async def test_stomp(self) -> None:
        """Over STOMP they work as far as STOMP does."""
        name = await self.queue()
        self.url = rabbitmq().stomp_url
        await self.run_command(f"publish -q {name} -l", b"one\ntwo\nthree\n")
        ran = await self.run_command(f"get {name} -f raw")
        self.assertEqual(ran.out, b"one")
        ran = await self.run_command(f"consume {name} -n 1 -f raw")
        self.assertEqual(ran.out, b"two\n")
        other = await self.queue()
        await self.run_command(f"move {name} {other}")
        self.assertEqual(await self.bodies_of(other), ["three"])


class MoveTests(RabbitMQCase):
    """C{txkombu move}"""

    async def dead(self, *bodies: str, kind: str) -> tuple[str, str]:
        """Have messages rejected; gives their queue, and the one where they are."""
        dead = await self.queue(queue_type=kind)
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
        work = await self.queue(queue_type=kind, queue_arguments=arguments)
        lines = "".join(f"{each}\n" for each in bodies).encode()
        await self.run_command(f"publish -q {work} -l", lines)
        for _ in bodies:
            message = await Queue(work)(self.connection).get()
            assert message is not None
            await message.reject()
        await self.until_there_are(len(bodies), dead)
        return work, dead

    async def test_back(self) -> None:
        """Dead-lettered messages go back, and can die again and go back again."""
        for kind in ("classic", "quorum"):
            work, dead = await self.dead("a", "b", kind=kind)
            ran = await self.run_command(f"move {dead}")
            moved = f"moved 2 messages from {dead!r} to {work!r}\n"
            self.assertEqual(ran.err, moved)
            for body in "ab":
                message = await Queue(work)(self.connection).get()
                assert message is not None
                self.assertEqual((message.payload, message.attempts), (body, 0))
                await message.reject()
            await self.until_there_are(2, dead)
            ran = await self.run_command(f"move {dead}")
            self.assertEqual(ran.err, moved)
            self.assertEqual(await self.bodies_of(work), ["a", "b"])

    async def test_interrupted(self) -> None:
        """Whatever interrupts it, each message is in one of the two queues."""
        source, other = await self.queue(), await self.queue()
        lines = b"".join(b"%d\n" % n for n in range(2_000))
        await self.run_command(f"publish -q {source} -l", lines)
        moved: list[object] = []
        for seconds in (0.05, 0.15, 0.3):
            connection = BrokerConnection(self.url)
            ran = begin(f"move {source} {other}", connection)
            call = IReactorTime(reactor).callLater(seconds, ran.code.cancel)
            self.assertIn(await ran.code, (0, 130), ran.err)
            withdraw(call)
            moved += await self.bodies_of(other)
        await self.run_command(f"move {source} {other}")
        moved += await self.bodies_of(other)
        self.assertEqual(moved, [str(n) for n in range(2_000)])

    async def test_lost(self) -> None:
        """After a lost connection it is run again: nothing is missing."""
        source, other = await self.queue(), await self.queue()
        lines = b"".join(b"%d\n" % n for n in range(2_000))
        await self.run_command(f"publish -q {source} -l", lines)
        connection = BrokerConnection(self.url)
        ran = begin(f"move {source} {other}", connection)
        call = IReactorTime(reactor).callLater(0.2, connection.drop)
        self.assertIn(await ran.code, (0, 1), ran.err)
        withdraw(call)
        await self.run_command(f"move {source} {other}")
        self.assertEqual(await self.bodies_of(source), [])
        moved = set(await self.bodies_of(other))
        self.assertEqual(moved, {str(n) for n in range(2_000)})


class DoctorTests(RabbitMQCase):
    """C{txkombu doctor}"""

    async def diagnose(self, url: str, code: int) -> list[str]:
        """Run the doctor, which has to end with that exit code; gives its lines."""
        ran = begin(f"doctor '{url}'", None)
        self.assertEqual(await ran.code, code, ran.out)
        return ran.out.decode().splitlines()

    async def test_well(self) -> None:
        """All is well, and nothing is left behind."""
        found = await self.diagnose(self.url, 0)
        self.assertEqual({line.split()[0] for line in found}, {"ok"})
        whole = "\n".join(found)
        for text in (
            "login: user 'guest' is known, by password",
            "virtual host: '/' is there",
            "broker: RabbitMQ ",
            "heartbeat: every 60 s",
            "permissions: may look up, declare, publish to, read, delete queues",
        ):
            self.assertIn(f"ok       {text}", whole)

    async def test_tls(self) -> None:
        """The certificate is described; without its authority it is refused."""
        url = rabbitmq().tls_url
        found = "\n".join(await self.diagnose(url, 0))
        self.assertIn("a trusted authority signed the certificate, which is for", found)
        *_, last = await self.diagnose(url.partition("?")[0], 1)
        self.assertRegex(last, "^failed   TLS: .* not signed by an authority")

    async def test_stomp(self) -> None:
        """Over STOMP, too, as far as it goes."""
        for url in (rabbitmq().stomp_url, rabbitmq().stomp_tls_url):
            found = "\n".join(await self.diagnose(url, 0))
            self.assertIn("ok       broker: RabbitMQ ", found)
            self.assertIn("ok       heartbeat: every ", found)
        found = "\n".join(await self.diagnose(f"{rabbitmq().stomp_url}?heartbeat=0", 0))
        self.assertIn("warning  heartbeat: none, so", found)
        wrong = rabbitmq().stomp_url.replace("guest:guest", "guest:s3cret")
        *_, last = await self.diagnose(wrong, 1)
        self.assertRegex(last, "^failed   login: .*: correct user and password")
        *_, last = await self.diagnose(f"{rabbitmq().stomp_url}/nowhere", 1)
        self.assertRegex(last, "^failed   virtual host: 'nowhere' is not there")

    async def test_refused(self) -> None:
        """A wrong password and a virtual host that is not there are told apart."""
        wrong = self.url.replace("guest:guest", "guest:s3cret")
        *_, last = await self.diagnose(wrong, 1)
        self.assertRegex(last, "^failed   login: .*: correct user and password")
        *_, login, last = await self.diagnose(f"{self.url}/nowhere", 1)
        self.assertTrue(login.startswith("ok       login: "))
        self.assertRegex(last, "^failed   virtual host: 'nowhere' is not there")

    async def test_permissions(self) -> None:
        """What the user may not do is a warning."""
        broker = rabbitmq()
        broker.add_user("doctor", "s3cret")
        broker.permit("doctor", configure="^own", write="^own")
        url = self.url.replace("guest:guest", "doctor:s3cret")
        found = "\n".join(await self.diagnose(url, 0))
        self.assertRegex(
            found, "warning  permissions: user 'doctor' may not declare a queue named"
        )


class ProcessTests(RabbitMQCase):
    """As processes, with pipes and signals."""

    async def shell(self, script: str, code: int) -> subprocess.CompletedProcess[str]:
        """Run a script of the shell, in which C{$txkombu} is the command."""
        command = f"{sys.executable} -m txkombu"
        done = await deferToThread(
            subprocess.run,
            [
                "timeout",
                f"{SECONDS:.0f}",
                "bash",
                "-c",
                script,
            ],  # ends its children, too
            env=environment(TXKOMBU_BROKER=self.url, txkombu=command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done

    async def test_head(self) -> None:
        """When head has enough, consume ends; what head did not read is not lost."""
        name = await self.queue()
        done = await self.shell(
            f"set -o pipefail; seq 5000 | $txkombu publish -q {name} --lines && "
            f"$txkombu consume {name} -f raw | (head -n 3; sleep 0.2)",
            141,
        )
        self.assertEqual(done.stdout, "1\n2\n3\n")
        self.assertEqual(done.stderr, "published 5,000 messages, confirmed\n")
        left = await self.bodies_of(name)
        self.assertEqual(left[-1], "5000")
        self.assertLess(len(left), 4998)

    async def test_idle(self) -> None:
        """When head has enough it ends at once, though no further message comes."""
        name = await self.queue()
        await self.run_command(f"publish -q {name} -l", b"1\n2\n3\n")
        done = await self.shell(
            f"set -o pipefail; $txkombu consume {name} -f raw | head -n 3", 141
        )
        self.assertEqual((done.stdout, done.stderr), ("1\n2\n3\n", ""))
        self.assertEqual(await self.bodies_of(name), [])

    async def test_signals(self) -> None:
        """Ctrl-C ends consume and a publish that waits for lines, without a word."""
        name = await self.queue()
        done = await self.shell(
            "(echo 1; echo 2; exec tail --pid=$$ -f /dev/null 2> /dev/null) | "
            f"$txkombu publish -q {name} -l & publish=$!\n"
            f"$txkombu consume {name} -f raw > out & consume=$!\n"
            "until grep -qs 2 out; do sleep 0.05; done\n"
            "kill -INT $publish; kill -TERM $consume\n"
            "wait $publish; echo $?; wait $consume",
            143,
        )
        self.assertEqual(done.stdout, "130\n")
        self.assertEqual(done.stderr, "published 2 messages, confirmed\n")
        self.assertEqual(await self.bodies_of(name), [])
