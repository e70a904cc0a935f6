"""The JSON schema of configuration files agrees with what reads them."""

from __future__ import annotations

import json

import yaml
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from tests.configuration import test_faults as faults
from tests.configuration.test_files import FULL, SMALLEST
from tests.documentation.configuration_schema import SCHEMA, text

STRUCTURAL = (
    "must be a",
    "must be true",
    "is not known",
    "is missing",
    "must be one of",
)
"""What faults that a schema can see begin with."""


class SchemaTests(SynchronousTestCase):
    """docs/reference/service.schema.json"""

    def setUp(self) -> None:
        self.schema = json.loads(SCHEMA.read_text(encoding="utf-8"))

    def wrong(self, file: str) -> bool:
        """Return whether the schema refuses a file."""
        validator = Draft202012Validator(self.schema)
        return next(validator.iter_errors(yaml.safe_load(file)), None) is not None

    def test_written(self) -> None:
        """The file is what the classes say: run the module to write it."""
        Draft202012Validator.check_schema(self.schema)
        self.assertEqual(
            SCHEMA.read_text(encoding="utf-8"),
            text(),
            "python -m tests.documentation.configuration_schema",
        )

    def test_described(self) -> None:
        """Each key has a description."""

        def check(schema: object) -> None:
            if isinstance(schema, dict):
                for name, found in schema.get("properties", {}).items():
                    if name not in ("env", "file", "retry", "delayed", "park"):
                        self.assertTrue(found.get("description"), name)
                for each in schema.values():
                    check(each)
            elif isinstance(schema, list):
                for each in schema:
                    check(each)

        check(self.schema)

    def test_right(self) -> None:
        """It takes files that are right."""
        for file in (SMALLEST, FULL):
            self.assertFalse(self.wrong(file))

    def test_faults(self) -> None:
        """
        It refuses the faults of types and keys that reading a file tells of, but not
        that there is no broker, which an option may name.
        """
        for file, told in faults.WHOLE:
            if any(each in told for each in STRUCTURAL):
                self.assertEqual(self.wrong(file), "broker: is missing" not in told)
        for key, told in faults.BROKERS:
            if "tls." in told or "is not known" in told or "must be true" in told:
                file = faults.RIGHT.replace(
                    "memory://x", f"{{url: 'amqps://h', {key}}}"
                )
                if "needs" not in told and "cannot be read" not in told:
                    self.assertTrue(self.wrong(file), told)
