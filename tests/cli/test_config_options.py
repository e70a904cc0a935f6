"""Configuration files on the command line."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import Running
from txkombu.cli.companions import Together
from txkombu.cli.tap import Options, makeService
from txkombu.service import ConsumerService

H = "tests.configuration.handlers"
FILE = f"""
broker: {{url: amqp://file//, userid: feeds, password: secret}}
queues: {{feeds: }}
consumers:
  - handler: {H}:Feeds
  - {{handler: "{H}:plain", queues: feeds}}
publisher: true
shutdown_timeout: 7
log: {{level: warn, format: json}}
"""


class OptionsTests(SynchronousTestCase):
    """--config and --check."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        self.home.mkdir()
        self.file = self.home / "service.yaml"
        self.file.write_text(FILE)
        known = {
            key: value
            for key, value in os.environ.items()
            if key not in ("TXKOMBU_BROKER", "TXKOMBU_CONFIG")
        }
        self.patch(os, "environ", known)

    def parse(self, *arguments: str) -> Options:
        """Parse a command line."""
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def fault(self, *arguments: str) -> str:
        """Return what is wrong with a command line."""
        error = self.assertRaises(usage.UsageError, self.parse, *arguments)
        return str(error)

    def test_config(self) -> None:
        """All is as the file says."""
        options = self.parse("--config", str(self.file))
        info = options.connection.info()
        self.assertEqual((info["hostname"], info["userid"]), ("file", "feeds"))
        self.assertEqual(len(options.consumers), 2)
        self.assertEqual(options.shutdown_timeout, 7)
        self.assertIsNotNone(options.publisher)
        self.assertEqual((options.log.level, options.log.format), ("warn", "json"))
        self.assertIsNone(options.http)
        service = makeService(options)
        assert isinstance(service, ConsumerService)
        self.assertIs(service.connection, options.connection)

    def test_http(self) -> None:
        """The endpoint of the file is used, and --http overrides it."""
        self.file.write_text(f"{FILE}\nhttp: tcp:8080:interface=127.0.0.1\n")
        options = self.parse("--config", str(self.file))
        self.assertEqual(options.http, "tcp:8080:interface=127.0.0.1")
        self.assertIsInstance(makeService(options), Together)
        options = self.parse("--config", str(self.file), "--http", "tcp:1")
        self.assertEqual(options.http, "tcp:1")
        told = self.fault("--config", str(self.file), "--http", "8080")
        self.assertIn("--http: '8080' is no endpoint", told)
        self.file.write_text(f"{FILE}\nhttp: tcp\n")
        told = self.fault("--config", str(self.file))
        self.assertIn("http: 'tcp' is no endpoint", told)

    def test_http_of_the_file(self) -> None:
        """That health and metrics need a library is told of the file that asks."""
        self.file.write_text(f"{FILE}\nhttp: tcp:8080\n")
        taken = import_module("prometheus_client")
        self.addCleanup(sys.modules.update, {"prometheus_client": taken})
        sys.modules["prometheus_client"] = None  # type: ignore[assignment]  # missing
        told = self.fault("--config", str(self.file))
        self.assertIn(f"{self.file}: http: health and metrics need", told)

    def test_names(self) -> None:
        """The connection is named by the file, not by an overriding consumer."""
        arguments = ("--config", str(self.file), "--consumer", f"{H}:marked")
        service = makeService(self.parse(*arguments))
        assert isinstance(service, ConsumerService)
        name = str(service.connection.info()["name"])
        self.assertTrue(name.startswith("service@"), name)

    def test_environment(self) -> None:
        """TXKOMBU_CONFIG names the file."""
        os.environ["TXKOMBU_CONFIG"] = str(self.file)
        self.assertEqual(self.parse().connection.info()["hostname"], "file")

    def test_overridden(self) -> None:
        """Options, and TXKOMBU_BROKER, replace what the file says, and no more."""
        secret = self.home / "secret"
        secret.write_text("other\n")
        options = self.parse(
            *("--config", str(self.file), "--broker", "amqp://given//"),
            *("--shutdown-timeout", "3", "--consumer", f"{H}:marked"),
            *("--password-file", str(secret)),
        )
        info = options.connection.info()
        self.assertEqual((info["hostname"], info["userid"]), ("given", "feeds"))
        settings = options.connection.core.settings
        login = self.successResultOf(settings.login_at(settings.alternates[0]))
        self.assertEqual(login.password, "other")
        self.assertEqual(options.shutdown_timeout, 3)
        self.assertEqual(len(options.consumers), 1)
        os.environ["TXKOMBU_BROKER"] = "amqp://one//;amqp://two//"
        options = self.parse("--config", str(self.file))
        self.assertEqual(len(options.connection.info()["alternates"]), 2)  # type: ignore[arg-type]

    def test_broker_elsewhere(self) -> None:
        """A file without a broker is right if an option has one."""
        self.file.write_text(f"consumers: [{{handler: '{H}:Feeds'}}]")
        options = self.parse("--config", str(self.file), "-b", "memory://x")
        self.assertEqual(options.connection.info()["hostname"], "x")
        told = self.fault("--config", str(self.file))
        self.assertIn("broker: is missing", told)
        self.assertIn("--broker or TXKOMBU_BROKER can name a broker, too", told)

    def test_wrong(self) -> None:
        """Faults of the file are a usage error with a line for each."""
        self.file.write_text(FILE.replace("json}", "xml, to: 3}"))
        told = self.fault("--config", str(self.file))
        self.assertIn(f"{self.file}:9: log.to: is not known", told)
        self.assertIn("cannot be read", self.fault("--config", "/nowhere.yaml"))
        self.file.write_text(FILE)
        told = self.fault("--config", str(self.file), "--broker", "amqp://h:x")
        self.assertTrue(told.startswith("--broker: "), told)
        told = self.fault("--config", str(self.file), "--consumer", "nowhere:X")
        self.assertTrue(told.startswith("--consumer: "), told)
        told = self.fault("--config", str(self.file), "--shutdown-timeout", "soon")
        self.assertTrue(told.startswith("--shutdown-timeout: "), told)

    def test_no_publisher(self) -> None:
        """A consumer that needs a publisher is told as a fault of the command line."""
        self.file.write_text(FILE.replace("publisher: true\n", ""))
        told = self.fault(
            "--config", str(self.file), "--consumer", f"{H}:make_published"
        )
        self.assertTrue(told.startswith("--consumer: "), told)
        self.assertIn("the service has no publisher", told)

    def test_check(self) -> None:
        """--check tells that the file is right, and ends with 0."""
        out = StringIO()
        with redirect_stdout(out):
            error = self.assertRaises(
                SystemExit, self.parse, "--check", "--config", str(self.file)
            )
        self.assertEqual(error.code, 0)
        self.assertEqual(out.getvalue(), f"{self.file} is right: 2 consumers\n")
        told = self.fault("--check", "-b", "memory://", "-c", f"{H}:Feeds")
        self.assertIn("--check is for a configuration file", told)

    def test_served(self) -> None:
        """txkombu serve runs it, and logs lines of JSON."""
        text = FILE.replace("amqp://file//", "memory://x")
        self.file.write_text(text.replace("warn", "info"))
        running = Running(
            "-m", "txkombu", "serve", "--config", "service.yaml", cwd=self.home
        )
        self.addCleanup(running.close)
        running.wait_for("Feeds of 'feeds'> consumes")
        running.process.send_signal(signal.SIGTERM)
        self.assertEqual(running.process.wait(30), 0)
        lines = [json.loads(each) for each in running.output.splitlines()]
        self.assertLessEqual({each["level"] for each in lines}, {"info", "warn"})
