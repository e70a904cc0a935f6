"""
From words to values, and from outcomes to words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from txkombu.exceptions import BrokerError, Unroutable
from txkombu.interfaces import Delivery, Returned

_OPTION = re.compile(r"([A-Za-z][\w-]*)=(.*)", re.DOTALL)
_GENERATED = re.compile(r"(amq\.gen-|amq\.rabbitmq\.reply-to\.)[\w+/=.-]+")


def _nested(depth: str) -> object:
    value: object = None
    for _ in range(int(depth)):
        value = [value]
    return value


_KINDS: Mapping[str, Callable[[str], object]] = {
    "bytes": bytes.fromhex,
    "decimal": Decimal,
    "long": lambda size: "x" * int(size),
    "moment": datetime.fromisoformat,
    "nested": _nested,
}
"""
Values that JSON does not have, written as C{kind:text}.
"""


def divide(words: list[str]) -> tuple[str, list[str], dict[str, Any]]:
    """Return the verb, the plain words and the options of a step."""
    verb, *rest = words
    options = [found for word in rest if (found := _OPTION.fullmatch(word))]
    plain = [word for word in rest if not _OPTION.fullmatch(word)]
    return verb, plain, {found[1]: _value(found[2]) for found in options}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        kind, _, rest = text.partition(":")
        return _KINDS[kind](rest) if kind in _KINDS else text


def arguments_in(options: Mapping[str, Any]) -> dict[str, object]:
    """Return the options that are arguments: those with a hyphen."""
    return {
        name: value
        for name, value in options.items()
        if "-" in name and not name.startswith("h-")
    }


def headers_in(options: Mapping[str, Any]) -> dict[str, object]:
    """Return the options that are headers."""
    return {name[2:]: value for name, value in options.items() if name.startswith("h-")}


def describe(thing: object) -> str:
    """Return an outcome in words that are the same each time."""
    return masked(_described(thing))


def masked(text: str) -> str:
    """Replace in names the parts that the broker generates."""
    return _GENERATED.sub(r"\1*", text)


def _described(thing: object) -> str:
    if isinstance(thing, Delivery):
        again = "(again)" if thing.redelivered else ""
        by = f"{thing.consumer_tag}:" if thing.consumer_tag else ""
        return f"{by}{thing.body.decode()}{again}"
    if isinstance(thing, Returned):
        return f"{thing.body.decode()} {thing.reply_code} {thing.reply_text}"
    if isinstance(thing, Unroutable):
        return f"Unroutable {_described(thing.returned)}"
    if isinstance(thing, BrokerError):
        where = f"{thing.class_id}.{thing.method_id}"
        return f"{type(thing).__name__} {thing.code} {thing.text} [{where}]"
    if isinstance(thing, Exception):
        return type(thing).__name__
    return json.dumps(_plain(thing), sort_keys=True, ensure_ascii=False)


def _plain(value: object) -> object:
    """Return a value that JSON has; without times of death, which differ each time."""
    if isinstance(value, datetime):
        return f"moment {value.isoformat()}"
    if isinstance(value, bytes | Decimal):
        return f"{type(value).__name__.lower()} {value!s}"
    if isinstance(value, Mapping):
        return {
            key: "(time)" if key == "time" else _plain(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
