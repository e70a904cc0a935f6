"""
Write the JSON schema of configuration files: docs/reference/service.schema.json.

The command is C{python -m tests.documentation.configuration_schema}.  The schema is
made of the classes that read the files, and of their docstrings.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

import attrs

from tests.support.paths import DOCS
from txkombu.configuration.service_file import (
    BrokerSection,
    Declare,
    Format,
    Level,
    Policy,
    PublisherSection,
    QueueType,
    ServiceFile,
    Texts,
)
from txkombu.configuration.sources import Text
from txkombu.configuration.values import (
    FORMATS,
    LEVELS,
    MADE_POLICIES,
    NAMED_POLICIES,
    QUEUE_TYPES,
)

SCHEMA: Final = DOCS / "reference" / "service.schema.json"

_TEXTS: Final = (
    {"type": "string"},
    {"type": "array", "items": {"type": "string"}, "minItems": 1},
)
_SOURCE: Final = {
    "oneOf": [
        {"type": "string"},
        *(
            {
                "type": "object",
                "properties": {kind: {"type": "string"}},
                "required": [kind],
                "additionalProperties": False,
            }
            for kind in ("env", "file")
        ),
    ]
}
_KNOWN: Final[Mapping[Any, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Any: {},
    Text: _SOURCE,
    Texts: {"oneOf": list(_TEXTS)},
    Declare: {"enum": [True, False, "passive"]},
    Level: {"enum": list(LEVELS)},
    Format: {"enum": list(FORMATS)},
    QueueType: {"enum": list(QUEUE_TYPES)},
    Policy: {
        "oneOf": [
            {"type": "string", "examples": [*NAMED_POLICIES, "package.module:name"]},
            {
                "type": "object",
                "properties": {name: {} for name in MADE_POLICIES},
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            },
        ]
    },
}


def schema() -> dict[str, Any]:
    """Return the schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A service of txkombu",
        **_of_class(ServiceFile),
    }


def _of_class(cls: Any) -> dict[str, Any]:
    attrs.resolve_types(cls)
    docs = _documented(cls)
    properties = {}
    for each in attrs.fields(cls):
        found = dict(_of_type(each.type))
        properties[each.name] = {"description": docs[each.name], **found}
    required = [
        each.name
        for each in attrs.fields(cls)
        # An option or the environment may name the broker of the service.
        if each.default is attrs.NOTHING and each.type is not BrokerSection
    ]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _of_type(kind: Any) -> Mapping[str, Any]:
    if kind is BrokerSection:
        return {"oneOf": [*_TEXTS, _of_class(kind)]}
    if kind is PublisherSection:
        return {"oneOf": [{"type": ["boolean", "null"]}, _of_class(kind)]}
    if kind in _KNOWN:
        return _KNOWN[kind]  # type: ignore[no-any-return]  # a mapping
    if type(None) in get_args(kind):
        (only,) = (each for each in get_args(kind) if each is not type(None))
        return _of_type(only)
    if get_origin(kind) is list:
        return {"type": "array", "items": _of_type(*get_args(kind))}
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": _of_type(get_args(kind)[1])}
    return _of_class(kind)


def _documented(cls: type) -> dict[str, str]:
    text = inspect.getdoc(cls) or ""
    found = re.findall(r"(?ms)^@ivar (\w+): (.*?)(?=^@|\Z)", text)
    return {name: " ".join(doc.split()) for name, doc in found}


def text() -> str:
    """Return the file."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text(), encoding="utf-8")
