"""docs/reference/configuration.rst is so."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import attrs
import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import Authority
from tests.support.paths import DOCS
from txkombu.configuration import ConfigurationError, read_file
from txkombu.configuration.service_file import BrokerSection, ConsumerSection

PAGE = DOCS / "reference" / "configuration.rst"
FILES = ("/run/secrets/rabbitmq", "/etc/ssl/rabbitmq.pem")


class ConfigurationPageTests(SynchronousTestCase):
    """The examples of the page, and what it says of keys."""

    def setUp(self) -> None:
        self.text = PAGE.read_text(encoding="utf-8")
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.patch(sys, "path", [str(self.home), *sys.path])
        self.addCleanup(sys.modules.pop, "feeds", None)
        (self.home / "feeds.py").write_text(self.blocks("python")[0])

    def blocks(self, kind: str) -> list[str]:
        """Return the code blocks of a kind."""
        found = re.findall(
            rf"(?m)^\.\. code-block:: {kind}\n\n((?:   .*\n|\n)+)", self.text
        )
        return [re.sub("(?m)^   ", "", each).strip() + "\n" for each in found]

    def write(self, text: str) -> str:
        """Write the file of the page, with files that exist here."""
        authority = Authority(self.home)
        (self.home / "rabbitmq").write_text("secret\n")
        os.rename(authority.cacertfile, self.home / "rabbitmq.pem")
        for name in FILES:
            text = text.replace(name, str(self.home / os.path.basename(name)))
        (self.home / "service.yaml").write_text(text)
        return str(self.home / "service.yaml")

    def test_example(self) -> None:
        """The file of the page is right, and makes what the page says."""
        plan = read_file(self.write(self.blocks("yaml")[0]))
        self.assertEqual(len(plan.consumers), 2)
        self.assertEqual(set(plan.queues), {"imports", "fetches", "parked"})
        self.assertIsNotNone(plan.publisher)
        self.assertEqual(plan.shutdown_timeout, 60)

    def test_faults(self) -> None:
        """The faults of the page are told so."""
        wrong = self.blocks("yaml")[0]
        wrong = wrong.replace("prefetch_count: 20", "prefetch_count: 70000")
        wrong = wrong.replace("on_failure: reject", "on_failure: rejekt")
        file = self.write(wrong)
        error = self.assertRaises(ConfigurationError, read_file, file)
        told = str(error).replace(file, "service.yaml").splitlines()
        shown = re.findall(r"(?m)^    (service\.yaml:\d.*)$", self.text)
        self.assertEqual(len(shown), 2)
        for line, wanted in zip(told, shown, strict=True):
            self.assertTrue(line.startswith(wanted.removesuffix(" …")), line)

    def test_second_example(self) -> None:
        """The queue with several bindings is right, beside the rest."""
        bound = yaml.safe_load(self.blocks("yaml")[1])
        whole = yaml.safe_load(self.blocks("yaml")[0])
        whole["queues"] |= bound["queues"]
        plan = read_file(self.write(yaml.safe_dump(whole)))
        self.assertEqual(len(plan.queues["audit"].bindings), 2)

    def test_program(self) -> None:
        """The program at the end makes the service."""
        self.write(self.blocks("yaml")[0])
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.home)
        names: dict[str, object] = {}
        exec(self.blocks("python")[-1], names)
        self.assertIn("service", names)

    def test_keys(self) -> None:
        """Each key of brokers and consumers is on the page."""
        for cls in (BrokerSection, ConsumerSection):
            for each in attrs.fields(cls):
                self.assertIn(f"``{each.name}``", self.text)
