"""The page about serialization says what is so."""

from __future__ import annotations

import doctest
from pathlib import Path

from docutils.core import publish_doctree
from twisted.trial.unittest import SynchronousTestCase

from txkombu import yamlcodec
from txkombu.compression import LIMIT, compressors
from txkombu.serialization import registry

PAGE = Path(__file__).parents[1] / "docs" / "serialization.rst"


class SerializationPageTests(SynchronousTestCase):
    """docs/serialization.rst."""

    def setUp(self) -> None:
        """Let the page register what it likes, and forget it afterwards."""
        self.text = PAGE.read_text(encoding="utf-8")
        self.patch(registry, "_by_name", dict(registry._by_name))
        self.patch(registry, "_by_type", dict(registry._by_type))
        self.patch(compressors, "_methods", dict(compressors._methods))

    def test_examples(self) -> None:
        """Every example on the page gives what the page shows."""
        test = doctest.DocTestParser().get_doctest(
            self.text, {}, PAGE.name, str(PAGE), 0
        )
        shown: list[str] = []
        result = doctest.DocTestRunner(verbose=False).run(test, out=shown.append)
        self.assertEqual((result.failed, "".join(shown)), (0, ""))
        self.assertGreater(result.attempted, 30)

    def test_limits(self) -> None:
        """The limits that the page tells are those of the code."""
        self.assertIn(f"{yamlcodec.YAML_LIMIT:,} characters", self.text)
        self.assertIn(f"{yamlcodec.YAML_DEPTH} levels", self.text)
        self.assertIn(f"{LIMIT // 2**20} MiB when decompressed", self.text)

    def test_markup(self) -> None:
        """The page is well-formed reStructuredText."""
        publish_doctree(
            self.text, settings_overrides={"halt_level": 2, "report_level": 2}
        )
