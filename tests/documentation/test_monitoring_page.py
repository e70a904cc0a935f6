"""docs/howto/monitoring.rst is so."""

from __future__ import annotations

import re
import shlex

import yaml

from tests.documentation.metrics_table import PAGE, families, shown_name, text
from tests.support.snippets import PageTestCase
from txkombu.cli.tap import Options
from txkombu.configuration.endpoint import checked_endpoint
from txkombu.monitoring.metrics import OUTCOMES, REASONS


class MonitoringPageTests(PageTestCase):
    """The page."""

    def setUp(self) -> None:
        super().setUp()
        self.text = PAGE.read_text(encoding="utf-8")

    async def test_snippets(self) -> None:
        """The snippets do what the page shows."""
        self.assertGreater(await self.run_text(self.text), 8)

    def test_table(self) -> None:
        """The table is what the code says: run the module to write it."""
        command = "python -m tests.documentation.metrics_table"
        self.assertEqual(self.text, text(), command)
        self.assertGreater(len(families()), 15)

    def test_words(self) -> None:
        """Each outcome and each reason is there."""
        for word in (*OUTCOMES, *(reason for _, reason in REASONS)):
            self.assertIn(f"``{word}``", self.text)

    def test_prometheus(self) -> None:
        """The files for Prometheus are of its form, and name metrics that there are."""
        blocks = re.findall(
            r"(?m)^\.\. code-block:: yaml\n\n((?:   .*\n|\n)+)", self.text
        )
        scrape, alerts = (yaml.safe_load(each) for each in blocks)
        self.assertEqual(
            scrape["scrape_configs"][0]["static_configs"][0]["targets"],
            ["127.0.0.1:8080"],
        )
        named = re.findall(r"txkombu_\w+", str(alerts))
        known = {shown_name(each) for each in families()}
        self.assertEqual(set(named) - known, set())
        self.assertGreater(len(named), 3)

    def test_commands(self) -> None:
        """The options of the commands exist."""
        commands = re.findall(r"(?m)^    (python -m .*)$", self.text)
        self.assertEqual(len(commands), 1)
        for command in commands:
            _, _, module, name, *arguments = shlex.split(command)
            self.assertEqual((module, name), ("txkombu", "serve"))
            options = Options()
            options.postOptions = lambda: None  # type: ignore[method-assign]
            options.parseOptions(arguments)
            if options["http"] is not None:
                checked_endpoint(options["http"])
