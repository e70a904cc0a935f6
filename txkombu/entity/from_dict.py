"""Queues made from dicts: the result of C{Queue.as_dict}, or Kombu's flat options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .exchange import Exchange, binding

_Q = TypeVar("_Q")

_EXCHANGE_OPTIONS = {
    "exchange_type": "type",
    "exchange_durable": "durable",
    "exchange_auto_delete": "auto_delete",
    "exchange_arguments": "arguments",
    "delivery_mode": "delivery_mode",
}


def queue_from_dict(
    cls: Callable[..., _Q], queue: str | Mapping[str, object], options: dict[str, Any]
) -> _Q:
    """Make a queue; see L{txkombu.Queue.from_dict}."""
    if isinstance(queue, Mapping):
        options = {**queue, **options}
        queue = options.get("name") or ""
    options.pop("name", None)
    given = _given(options)
    _resolve_aliases(given)
    exchange = given.pop("exchange", None)
    flat = {
        name: given.pop(option)
        for option, name in _EXCHANGE_OPTIONS.items()
        if option in given
    }
    if isinstance(exchange, str):
        exchange = Exchange(exchange, **flat)
    bindings = [_binding(each) for each in given.pop("bindings", ())]
    return cls(queue, _exchange(exchange), bindings=bindings, **given)


def _resolve_aliases(given: dict[str, Any]) -> None:
    """Apply options for exchange and queue to both, and C{binding_key}."""
    for shared in ("durable", "auto_delete"):
        for prefix in ("exchange", "queue"):
            if shared in given and not isinstance(given.get("exchange"), Mapping):
                given.setdefault(f"{prefix}_{shared}", given[shared])
        if f"queue_{shared}" in given:
            given[shared] = given.pop(f"queue_{shared}")
    binding_key = given.pop("binding_key", None)
    if binding_key:
        given["routing_key"] = binding_key


def _exchange(exchange: Any) -> Any:
    return Exchange(**_given(exchange)) if isinstance(exchange, Mapping) else exchange


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _binding(each: binding | Mapping[str, Any]) -> binding:
    if not isinstance(each, Mapping):
        return each
    options = _given(each)
    return binding(_exchange(options.pop("exchange", "")), **options)
