"""twistd kombu, twist kombu, and python -m txkombu."""

from __future__ import annotations

import os
import signal
import sys
from importlib import invalidate_caches
from pathlib import Path
from textwrap import dedent

from twisted.application.app import ServerOptions
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import TWIST, TWISTD, Running, run_python
from txkombu import Consumer, __version__
from txkombu.cli.tap import Options, makeService
from txkombu.configuration.consumer_loader import (
    ConsumerNotFound,
    consumer_named,
    forget_working_directory,
)
from txkombu.serialization.codecs import JSON_LIBRARIES
from txkombu.service import ConsumerService
from txkombu.service.broker_service import SHUTDOWN_TIMEOUT

MODULE = """
import os, threading, time
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from txkombu import BrokerConnection, Consumer, Exchange, Producer, Queue

NUMBERS = Queue("numbers", Exchange("numbers"), "numbers")


class Slow(Consumer):
    queues = NUMBERS

    async def receive(self, number, message):
        print("begin", number)
        while not os.path.exists("enough"):
            await deferLater(reactor, 0.01)
        print("end", number, await message.ack())


class Endless(Consumer):
    queues = NUMBERS

    async def receive(self, number, message):
        print("begin", number)
        await deferLater(reactor, 3600)


def publish():
    producer = Producer(BrokerConnection("memory://cli"), NUMBERS.exchange, "numbers")
    producer.publish(1, declare=[NUMBERS])


def slow(channel):
    reactor.callWhenRunning(publish)
    return Slow(channel)


def endless(channel):
    reactor.callWhenRunning(publish)
    return Endless(channel)


def broken(channel):
    raise RuntimeError("it is broken")


def needs_nothing():
    pass


def exits(channel):
    raise SystemExit("DATABASE_URL is not set")


def exits_well(channel):
    raise SystemExit


def interrupted(channel):
    raise KeyboardInterrupt


def closes_generators(channel):
    raise GeneratorExit


class Threads(Slow):
    def receive(self, number, message):
        def work():
            print("begin", number)
            while not os.path.exists("enough"):
                time.sleep(0.01)
        return deferToThread(work)


def threads(channel):
    reactor.callWhenRunning(publish)
    return Threads(channel)


class Blocks(Slow):
    def receive(self, number, message):
        print("begin", number)
        time.sleep(3600)


def blocks(channel):
    reactor.callWhenRunning(publish)
    return Blocks(channel)


class LeavesThread(Slow):
    def receive(self, number, message):
        threading.Thread(target=time.sleep, args=[3600]).start()
        print("begin", number, message.ack())


def leaves_thread(channel):
    reactor.callWhenRunning(publish)
    return LeavesThread(channel)


def looks_about(channel):
    import sys
    print("looks in", [each for each in sys.path if each in ("", os.getcwd())])
    import here_only


a_number = 42
"""


NO_PIKA = """\
import runpy, sys
sys.modules["pika"] = None
runpy.run_module("txkombu", run_name="__main__", alter_sys=True)
"""


class ModuleCase(SynchronousTestCase):
    """Has a folder with a module of consumers, and is in it."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(parents=True)
        # A name of its own for each test, since modules are imported once.
        self.module = f"numbers_{self.id().rpartition('.')[2]}"
        self.write(self.module, MODULE)

    def write(self, name: str, text: str) -> None:
        """Write a module."""
        self.home.joinpath(f"{name}.py").write_text(dedent(text))

    def go_home(self) -> None:
        """Let modules be found as a program started in the folder would."""
        before = os.getcwd()
        os.chdir(self.home)
        self.addCleanup(os.chdir, before)
        self.patch(sys, "path", [each for each in sys.path if each not in ("", ".")])
        self.patch(sys, "dont_write_bytecode", True)
        invalidate_caches()


BLOCKED = """
import time
from txkombu.cli.last_resort import LastResort

last_resort = LastResort(lambda: 3)
last_resort.start()
last_resort.end_at(time.monotonic() + 1e12)
time.sleep(0.1)
last_resort.end_at(time.monotonic() + 0.1)
print("written")
time.sleep(3600)
"""


class LastResortTests(ModuleCase):
    """The end of a process that does not end by itself."""

    def test_blocked(self) -> None:
        """At the last deadline set, what was printed is written, and that is all."""
        done = run_python("-c", BLOCKED, cwd=self.home)
        self.assertEqual((done.returncode, done.stdout), (3, "written\n"), done.stderr)


class NameTests(ModuleCase):
    """Consumers by name."""

    def assert_bad(self, name: str, text: str) -> None:
        """The name is refused, in one line that says this."""
        error = self.assertRaises(ConsumerNotFound, consumer_named, name)
        self.assertIn(text, str(error))
        self.assertNotIn("\n", str(error))

    def test_class_and_function(self) -> None:
        """A subclass is found in the current directory, and so is a function."""
        self.go_home()
        found = consumer_named(f"{self.module}:Slow")
        self.assertTrue(isinstance(found, type) and issubclass(found, Consumer))
        self.assertTrue(callable(consumer_named(f"{self.module}:slow")))

    def test_in_package(self) -> None:
        """The module may be in a package."""
        self.go_home()
        self.home.joinpath("package_of_numbers").mkdir()
        self.write("package_of_numbers/consumers", MODULE)
        found = consumer_named("package_of_numbers.consumers:Slow")
        self.assertEqual(
            getattr(found, "__module__", ""), "package_of_numbers.consumers"
        )

    def test_form(self) -> None:
        """A name has a module, a colon and an attribute."""
        for name in ("", "feeds", "feeds:", ":Feed", ".:Feed"):
            self.assert_bad(name, f"{name!r} is not of the form package.module:Name")

    def test_url(self) -> None:
        """A URL in its place is not shown, wherever it has a colon."""
        for name in (
            "amqp://ann:s3cr3t@host/vhost",
            "ann:s3cr3t@host",
            "amqp:s3cr3t@host:Feed",
            "s3cr3t\udcff:Feed",
        ):
            error = self.assertRaises(ConsumerNotFound, consumer_named, name)
            self.assertIn("is not of the form package.module:Name", str(error))
            self.assertNotIn("s3cr3t", str(error))

    def test_path(self) -> None:
        """The current directory is imported from only while the name is looked up."""
        self.go_home()
        before = list(sys.path)
        consumer_named(f"{self.module}:Slow")
        self.assertEqual(sys.path, before)
        self.assert_bad("numburs:Slow", "there is no module 'numburs'")
        self.assertEqual(sys.path, before)

    def test_forgotten(self) -> None:
        """Where Python has put it first, it is forgotten; elsewhere it stays."""
        self.go_home()
        for first in ("", os.getcwd()):
            self.patch(sys, "path", [first, "lib", os.getcwd()])
            forget_working_directory()
            self.assertEqual(sys.path, ["lib", os.getcwd()])
            forget_working_directory()
            self.assertEqual(sys.path, ["lib", os.getcwd()])

    def test_module_exits(self) -> None:
        """A module that exits when it is imported is told as one that fails."""
        self.go_home()
        for number, code in enumerate(("sys.exit()", "sys.exit(0)", "sys.exit('no')")):
            self.write(f"exiting_{number}", f"import sys\n{code}\n")
            self.assert_bad(
                f"exiting_{number}:Slow", f"'exiting_{number}' cannot be imported: Sys"
            )
        self.write("generators", "raise GeneratorExit")
        self.assert_bad("generators:Slow", "cannot be imported: GeneratorExit: ")

    def test_attribute_fails(self) -> None:
        """A module may fail when it is asked for the name."""
        self.go_home()
        self.write("asked", "def __getattr__(name):\n    raise SystemExit(name)\n")
        self.assert_bad("asked:Slow", "'asked:Slow' cannot be read: SystemExit: ")

    def test_no_module(self) -> None:
        """A module that is missing is named; so is the package it is not in."""
        self.go_home()
        self.assert_bad("numburs:Slow", "there is no module 'numburs'")
        self.assert_bad("numburs.feeds:Slow", "there is no module 'numburs'")
        self.assert_bad("json.numburs:Slow", "there is no module 'json.numburs'")

    def test_module_fails(self) -> None:
        """A module that cannot be imported is told from one that is missing."""
        self.go_home()
        self.write("needs_more", "import something_that_is_not_there")
        self.write("not_python", "class\n")
        self.write("raises", "raise RuntimeError('two\\nlines')")
        self.assert_bad(
            "needs_more:Slow",
            "module 'needs_more' cannot be imported: ModuleNotFoundError: "
            "No module named 'something_that_is_not_there'",
        )
        self.assert_bad("not_python:Slow", "cannot be imported: SyntaxError: invalid")
        self.assert_bad("raises:Slow", "cannot be imported: RuntimeError: two lines")

    def test_no_attribute(self) -> None:
        """A missing attribute is named, with the nearest there is."""
        self.go_home()
        self.assert_bad(
            f"{self.module}:Slwo",
            f"module {self.module!r} has no 'Slwo'; did you mean 'Slow'?",
        )
        self.assert_bad(f"{self.module}:xyzzyx", "has no 'xyzzyx'")

    def test_no_consumer(self) -> None:
        """What makes no consumers is refused by its name."""
        self.go_home()
        for attribute in ("a_number", "needs_nothing", "Producer", "NUMBERS"):
            name = f"{self.module}:{attribute}"
            self.assert_bad(name, f"{name} is no consumer: it must be a subclass of")


class OptionTests(ModuleCase):
    """The options that twistd, twist and serve share."""

    def setUp(self) -> None:
        super().setUp()
        self.go_home()
        self.good = ["--broker", "memory://cli", "--consumer", f"{self.module}:Slow"]

    def assert_refused(self, arguments: list[str], text: str) -> None:
        """It is a usage error of one line, which shows no password."""
        error = self.assertRaises(UsageError, Options().parseOptions, arguments)
        self.assertIn(text, str(error))
        self.assertNotIn("\n", str(error))
        self.assertNotIn("s3cret", str(error))

    def test_good(self) -> None:
        """They make a service, with its defaults; the plugin's way."""
        options = Options()
        options.parseOptions(self.good)
        service = makeService(options)
        assert isinstance(service, ConsumerService)
        self.assertEqual(service.connection.as_uri(), "memory://cli")
        self.assertEqual(options.shutdown_timeout, SHUTDOWN_TIMEOUT)
        self.assertEqual(len(options.consumers), 1)

    def test_several(self) -> None:
        """--consumer and -c can be repeated, and the timeout be set."""
        options = Options()
        options.parseOptions(
            [*self.good, "-c", f"{self.module}:slow", "--shutdown-timeout", "2.5"]
        )
        self.assertEqual(len(options.consumers), 2)
        self.assertEqual(options.shutdown_timeout, 2.5)

    def test_broker(self) -> None:
        """A broker is needed, and its URL must be one."""
        consumer = self.good[2:]
        self.assert_refused(consumer, "no --broker given")
        self.assert_refused(["--broker", "", *consumer], "no --broker given")
        for url, text in (
            ("memry://cli", "--broker: unknown transport 'memry'"),
            ("amqp://me:s3cret@host:port", "--broker: the port is not a number"),
            ("amqp://me:s3cret@host?x=1", "--broker: "),
            ("amqp://me:s3c/s3cret@host", "--broker: there is an '@' after the host"),
        ):
            self.assert_refused(["--broker", url, *consumer], text)

    def test_consumer(self) -> None:
        """A consumer is needed, and its name must lead to one."""
        broker = self.good[:2]
        self.assert_refused(broker, "no --consumer given")
        self.assert_refused(
            [*broker, "--consumer", "numburs:Slow"],
            "--consumer: there is no module 'numburs'",
        )

    def test_timeout(self) -> None:
        """The timeout is a number of seconds."""
        for wrong in ("soon", "-1", "inf"):
            self.assert_refused(
                [*self.good, f"--shutdown-timeout={wrong}"],
                f"--shutdown-timeout: {wrong!r} is no number of seconds",
            )
        self.assert_refused(
            [*self.good, "--shutdown-timeout=amqp://ann:s3cr3t@host"],
            "--shutdown-timeout: a value of type str is no number of seconds",
        )

    def test_unknown(self) -> None:
        """An unknown option, or anything that is none, is refused."""
        self.assert_refused([*self.good, "--colour"], "--colour")
        self.assert_refused([*self.good, "more"], "Wrong number of arguments")

    def test_twistd_exits(self) -> None:
        """
        Below twistd it is an exit with one line, since twistd before Twisted
        26 exited with 0 after a usage error.
        """
        options = Options()
        options.parent = ServerOptions()
        error = self.assertRaises(SystemExit, options.parseOptions, ["--colour"])
        self.assertEqual(error.code, "twistd kombu: option --colour not recognized")


class ProcessCase(ModuleCase):
    """Starts programs in the folder of the module."""

    def start(self, *program: str, consumer: str) -> Running:
        """Start a program that hosts one consumer."""
        running = Running(
            *program,
            *("--broker", "memory://cli", "--consumer", f"{self.module}:{consumer}"),
            cwd=self.home,
        )
        self.addCleanup(running.close)
        return running

    def assert_stops_in_order(self, running: Running) -> int:
        """A SIGTERM lets the handler at work end; gives the exit code."""
        running.wait_for("begin 1")
        running.process.terminate()
        running.wait_for("Received SIGTERM")
        self.home.joinpath("enough").touch()
        code = running.wait()
        before, signalled, after = running.output.partition("Received SIGTERM")
        self.assertTrue(signalled)
        self.assertNotIn("end 1", before)
        self.assertIn("end 1 Settlement.SENT", after)
        self.assertNotIn("Traceback", running.output)
        return code


class TwistdTests(ProcessCase):
    """C{twistd kombu} and C{twist kombu}"""

    def test_twistd(self) -> None:
        """twistd hosts a consumer, and a SIGTERM stops it in order."""
        running = self.start("-c", TWISTD, "-n", "kombu", consumer="slow")
        self.assertIn(self.assert_stops_in_order(running), (0, -signal.SIGTERM))

    def test_twist(self) -> None:
        """So does twist."""
        running = self.start("-c", TWIST, "kombu", consumer="slow")
        self.assertIn(self.assert_stops_in_order(running), (0, -signal.SIGTERM))

    def test_halted(self) -> None:
        """
        An error that halts the service under twistd stops it and is logged; the
        process stays, for twistd owns it.
        """
        running = self.start("-c", TWISTD, "-n", "kombu", consumer="broken")
        running.wait_for("RuntimeError: it is broken")
        self.assertIn("ConsumerService#critical] The service halts", running.output)
        self.assertIsNone(running.process.poll())

    def test_exits(self) -> None:
        """A consumer that asks for the end of the program when made has it."""
        for program in (("-c", TWISTD, "-n"), ("-c", TWIST)):
            running = self.start(*program, "kombu", consumer="exits")
            self.assertEqual(running.wait(), 1)
            self.assertIn("The service halts", running.output)
            self.assertRegex(running.output, r"(?m)^(.*\] )?DATABASE_URL is not set$")

    def test_wrong(self) -> None:
        """A wrong configuration is one line, and an exit code that is not 0."""
        for program in (("-c", TWISTD, "-n"), ("-c", TWIST)):
            arguments = ("--broker", "memry://me:s3cret@x", "--consumer", "n:N")
            done = run_python(*program, "kombu", *arguments, cwd=self.home)
            self.assertNotEqual(done.returncode, 0)
            said = [line for line in done.stderr.splitlines() if "--broker: " in line]
            self.assertEqual(len(said), 1, done.stderr)
            self.assertIn("unknown transport 'memry'", said[0])
            self.assertNotIn("Traceback", done.stderr + done.stdout)
            self.assertNotIn("s3cret", done.stderr + done.stdout)


class ServeTests(ProcessCase):
    """C{python -m txkombu serve}"""

    serve = ("-m", "txkombu", "serve")

    def test_stops_in_order(self) -> None:
        """A SIGTERM stops it in order, with exit code 0; prints go to stdout."""
        running = self.start(*self.serve, consumer="slow")
        self.assertEqual(self.assert_stops_in_order(running), 0)
        self.assertIn("\nbegin 1\n", running.output)

    def test_second_signal(self) -> None:
        """While handlers are at work a second signal ends it at once."""
        running = self.start(*self.serve, consumer="endless")
        running.wait_for("begin 1")
        running.process.send_signal(signal.SIGINT)
        running.wait_for("Received SIGINT: stopping")
        self.assertIsNone(running.process.poll())
        running.process.send_signal(signal.SIGTERM)
        self.assertEqual(running.wait(), -signal.SIGTERM)

    def test_shutdown_timeout(self) -> None:
        """Handlers that do not end are left behind after the timeout."""
        running = self.start(
            *self.serve, "--shutdown-timeout", "0.2", consumer="endless"
        )
        running.wait_for("begin 1")
        running.process.terminate()
        self.assertEqual(running.wait(), 0)
        self.assertIn("still at work after 0.2 s", running.output)

    def test_threads(self) -> None:
        """
        Nor is a handler's thread waited for any longer, or one that it has left
        behind.
        """
        for consumer in ("threads", "leaves_thread"):
            running = self.start(
                *self.serve, "--shutdown-timeout", "0.2", consumer=consumer
            )
            running.wait_for("begin 1")
            running.process.terminate()
            self.assertEqual(running.wait(), 0)
            self.assertRegex(running.output, "Ending without .*[tT]hread.*, still at")

    def test_blocks(self) -> None:
        """Nor does one that blocks the reactor hold it up for ever."""
        running = self.start(
            *self.serve, "--shutdown-timeout", "0.2", consumer="blocks"
        )
        running.wait_for("begin 1")
        running.process.terminate()
        self.assertEqual(running.wait(), 0)
        self.assertIn("Ending without MainThread, still at work", running.output)

    def test_thread_that_ends(self) -> None:
        """A thread that ends in time does not end the process in another way."""
        running = self.start(*self.serve, consumer="threads")
        running.wait_for("begin 1")
        running.process.terminate()
        running.wait_for("Received SIGTERM")
        self.home.joinpath("enough").touch()
        self.assertEqual(running.wait(), 0)
        self.assertNotIn("Ending without", running.output)

    def test_making_exits(self) -> None:
        """A consumer that exits when it is made halts the service, too."""
        for consumer, text in (
            ("exits", "SystemExit: DATABASE_URL is not set"),
            ("exits_well", "raised SystemExit\n"),
            ("interrupted", "raised KeyboardInterrupt\n"),
            ("closes_generators", "raised GeneratorExit\n"),
        ):
            running = self.start(*self.serve, consumer=consumer)
            self.assertEqual(running.wait(), 1)
            self.assertIn(text, running.output)
            self.assertRegex(running.output, r"line \d+, in \w*" + consumer)
            self.assertIn("#critical] The service halts", running.output)

    def test_asyncio(self) -> None:
        """A module of consumers may choose asyncio's reactor, and await what it has."""
        self.write(
            "chooses",
            f"""
            from twisted.internet import asyncioreactor
            asyncioreactor.install()
            import asyncio
            from {self.module} import Slow, publish, reactor

            class Sleeps(Slow):
                async def receive(self, number, message):
                    await asyncio.sleep(0.01)
                    print("slept", await message.ack())

            def sleeps(channel):
                reactor.callWhenRunning(publish)
                return Sleeps(channel)
            """,
        )
        self.module = "chooses"
        running = self.start(*self.serve, consumer="sleeps")
        running.wait_for("slept Settlement.SENT")
        running.process.terminate()
        self.assertEqual(running.wait(), 0)

    def test_working_directory(self) -> None:
        """
        Once the consumers are imported nothing is imported from the current
        directory: a message's header cannot ask for that.
        """
        self.write("here_only", "")
        done = run_python(
            *(*self.serve, "--broker", "memory://cli"),
            *("--consumer", f"{self.module}:looks_about"),
            cwd=self.home,
        )
        self.assertIn("looks in []", done.stdout)
        self.assertIn("No module named 'here_only'", done.stderr)

    def test_closes(self) -> None:
        """So does a handler that closes what it consumes with."""
        for what in ("self", "self.channel", "self.channel.connection"):
            self.write(
                "closes",
                f"""
                from {self.module} import Slow, publish, reactor

                class Closes(Slow):
                    def receive(self, number, message):
                        {what}.close()
                        message.ack()

                def closes(channel):
                    reactor.callWhenRunning(publish)
                    return Closes(channel)
                """,
            )
            before, self.module = self.module, "closes"
            running = self.start(*self.serve, consumer="closes")
            self.module = before
            self.assertEqual(running.wait(), 1)
            self.assertIn("closed by this program", running.output)

    def test_halted(self) -> None:
        """An error that halts the service gives exit code 1."""
        running = self.start(*self.serve, consumer="broken")
        self.assertEqual(running.wait(), 1)
        self.assertIn("RuntimeError: it is broken", running.output)

    def test_halt_verdict(self) -> None:
        """A handler chooses the exit code with Halt; its message is not lost."""
        self.write(
            "halts",
            f"""
            from {self.module} import Slow, publish, reactor
            from txkombu.policy import Halt

            class Halts(Slow):
                def receive(self, number, message):
                    raise Halt(42)

            def halts(channel):
                reactor.callWhenRunning(publish)
                return Halts(channel)
            """,
        )
        self.module = "halts"
        running = self.start(*self.serve, consumer="halts")
        self.assertEqual(running.wait(), 42)
        self.assertIn("it is requeued, and its consumer ends", running.output)
        self.assertIn("ConsumerService#critical] The service halts", running.output)

    def test_library_is_missing(self) -> None:
        """A transport whose library is not installed gives exit code 1, at once."""
        done = run_python(
            *("-c", NO_PIKA, "serve", "--broker", "pika://127.0.0.1:1"),
            *("--consumer", f"{self.module}:Slow"),
            cwd=self.home,
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("#critical] The service halts", done.stderr)
        self.assertIn("pip install txkombu[pika]", done.stderr)

    def test_reactor_stopped(self) -> None:
        """A program that stops the reactor itself has its service stopped."""
        self.write(
            "stops",
            """
            from twisted.internet import reactor
            from txkombu import Consumer, Queue

            class Quiet(Consumer):
                queues = Queue("quiet")
                on_message = print

            def quiet(channel):
                reactor.callLater(0.1, reactor.stop)
                return Quiet(channel)
            """,
        )
        self.module = "stops"
        running = self.start(*self.serve, consumer="quiet")
        self.assertEqual(running.wait(), 0)
        self.assertNotIn("Traceback", running.output)

    def test_wrong(self) -> None:
        """A wrong configuration is one line, and exit code 2."""
        done = run_python(
            *self.serve, "--broker", "memory://", "--consumer", "n:N", cwd=self.home
        )
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(
            done.stderr, "python -m txkombu: --consumer: there is no module 'n'\n"
        )


class MainTests(ModuleCase):
    """C{python -m txkombu}"""

    def test_version(self) -> None:
        """--version shows the version and what JSON is made by, of each command too."""
        shown = f"txkombu {__version__}\njson by {JSON_LIBRARIES}\n"
        for command in ([], ["serve"], ["shell"]):
            done = run_python("-m", "txkombu", *command, "--version", cwd=self.home)
            self.assertEqual((done.returncode, done.stdout), (0, shown))

    def test_help(self) -> None:
        """--help shows the commands, and that of serve its options."""
        done = run_python("-m", "txkombu", "--help", cwd=self.home)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"(?m)^ +serve +Host consumers")
        self.assertRegex(done.stdout, r"(?m)^ +shell +Open a Python prompt")
        done = run_python("-m", "txkombu", "serve", "--help", cwd=self.home)
        self.assertEqual(done.returncode, 0)
        said = " ".join(done.stdout.split())
        for words in (
            "Usage: python -m txkombu serve --consumer NAME | --config FILE",
            "--broker= URL of the broker; default $TXKOMBU_BROKER.",
            "--password-file= A file with the password, read at each login.",
            "The URL is amqp://user@host:5672/vhost, stomp://host or",
            "consumer, as package.module:Name; may be given again.",
            "--shutdown-timeout= Seconds for running handlers to finish; default 30.",
        ):
            self.assertIn(words, said)
        self.assertNotRegex(done.stdout, r"(?m)^ {27}.*\S {3}")

    def test_reactor(self) -> None:
        """Importing the commands and the service imports no reactor."""
        program = (
            "import sys, txkombu.service, txkombu.cli.tap, txkombu.__main__; "
            "sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        done = run_python("-c", program, cwd=self.home)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_no_command(self) -> None:
        """No command, or an unknown one, is a usage error."""
        for arguments, text in (
            ([], "no command given; --help lists them"),
            (["frobnicate"], "Unknown command: frobnicate"),
            (
                ["amqp://ann:s3cr3t@host"],
                "there is no such command; --help lists them",
            ),
        ):
            done = run_python("-m", "txkombu", *arguments, cwd=self.home)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertEqual(done.stderr, f"python -m txkombu: {text}\n")


class ShellTests(ModuleCase):
    """C{python -m txkombu shell}"""

    def shell(self, *lines: str) -> tuple[int, list[str], str]:
        """Type these lines; gives the exit code, what was printed, and errors."""
        text = "".join(f"{line}\n" for line in lines)
        done = run_python("-m", "txkombu", "shell", cwd=self.home, stdin=text)
        shown = done.stdout.replace(">>> ", "").replace("... ", "")
        return done.returncode, shown.splitlines(), done.stderr

    def test_seed(self) -> None:
        """Messages are published and got at the prompt, with await."""
        code, lines, errors = self.shell(
            "queue = Queue('shell', Exchange('shell'), 'key')",
            "connection = BrokerConnection('memory://shell')",
            "channel = await connection.channel()",
            "producer = Producer(channel, queue.exchange, 'key')",
            "for n in range(2):",
            "    await producer.publish({'n': n}, declare=[queue])",
            "",
            "(await queue(channel).get()).payload",
            "connection.connected",
            "await connection.close()",
        )
        self.assertEqual((code, lines), (0, ["{'n': 0}", "True"]), errors)
        self.assertIn(f'txkombu {__version__}: the reactor runs, and "await"', errors)

    def test_callbacks(self) -> None:
        """Consumers are served while the prompt waits for what comes next."""
        _, lines, errors = self.shell(
            "queue = Queue('shell')",
            "connection = BrokerConnection('memory://shell')",
            "from twisted.internet.defer import Deferred",
            "got = Deferred()",
            "consumer = Consumer(connection, queue)",
            "consumer.register_callback(lambda body, m: got.callback((body, m.ack())))",
            "await consumer.consume()",
            "await Producer(connection).publish('hello', 'shell')",
            "(await got)[0]",
        )
        self.assertEqual(lines, ["'hello'"], errors)

    def test_errors(self) -> None:
        """An error is shown, and the next line is read."""
        code, lines, errors = self.shell(
            "1 / 0",
            "connection = BrokerConnection('memory://shell')",
            "await Queue('nowhere')(connection).get()",
            "this is no Python",
            "'after'",
        )
        self.assertEqual((code, lines), (0, ["'after'"]))
        self.assertIn("ZeroDivisionError: division by zero", errors)
        self.assertIn("txkombu.exceptions.NotFound: 404 NOT_FOUND", errors)
        self.assertRegex(errors, "SyntaxError: (invalid syntax|incomplete input)")

    def test_exit(self) -> None:
        """exit() ends it, with a code if one is given, or with a text."""
        self.assertEqual(self.shell("exit()", "print('no')")[:2], (0, []))
        self.assertEqual(self.shell("exit(3)")[0], 3)
        code, _, errors = self.shell("exit('that is all')")
        self.assertEqual(code, 1)
        self.assertTrue(errors.endswith("that is all\n"), errors)

    def test_interrupt(self) -> None:
        """A SIGINT gives up what is awaited, and no more."""
        code, lines, errors = self.shell(
            "import os, signal",
            "from twisted.internet.defer import Deferred",
            "signal_us = lambda: os.kill(os.getpid(), signal.SIGINT)",
            "_ = reactor.callLater(0, signal_us); await Deferred()",
            "'after'",
        )
        self.assertEqual((code, lines), (0, ["'after'"]), errors)
        self.assertIn("cancelled\n", errors)
