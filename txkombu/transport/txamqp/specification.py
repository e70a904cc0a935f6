"""
The specification that txAMQP works from, built from pamqp's commands, since no
package of it has the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pamqp import commands
from pamqp.base import Frame
from txamqp.spec import Class, Constant, Field, Method, Spec

_CONSTANTS = {
    "frame_method": 1,
    "frame_header": 2,
    "frame_body": 3,
    "frame_heartbeat": 8,
    "frame_end": 206,
}
_WITH_CONTENT = {"Basic.Publish", "Basic.Deliver", "Basic.Return", "Basic.GetOk"}
_CLASSES = ("Connection", "Channel", "Exchange", "Queue", "Basic", "Tx", "Confirm")


@cache
def load() -> Any:
    """
    @return: AMQP 0-9-1 with RabbitMQ's extensions.  Each method has one attribute
        more than txAMQP knows, C{command}: pamqp's.
    """
    spec = Spec(0, 9, "pamqp")
    for name, value in _CONSTANTS.items():
        spec.constants.add(Constant(spec, name, value, None, []))
    for name in _CLASSES:
        spec.classes.add(_class(spec, getattr(commands, name)))
    spec.post_load()
    return spec


def _class(spec: Any, source: Any) -> Any:
    name = source.__name__.lower()
    klass = Class(spec, name, source.frame_id, name, [])
    if name == "basic":
        _add_fields(klass, source.Properties)
    for command in _commands(source):
        content = command.name in _WITH_CONTENT
        method = Method(
            klass,
            _own_name(command.name),
            command.frame_id,
            content,
            [_own_name(each) for each in command.valid_responses],
            command.synchronous,
            command.name,
            [],
        )
        method.command = command
        _add_fields(method, command)
        klass.methods.add(method)
    _resolve(klass)
    return klass


def _commands(source: Any) -> Iterator[Any]:
    for each in vars(source).values():
        if isinstance(each, type) and hasattr(each, "valid_responses"):
            yield each


def method_name(kind: type[Frame]) -> str:
    """How txAMQP's channels call a method: Basic.GetOk is basic_get_ok."""
    return f"{kind.name.partition('.')[0].lower()}_{_own_name(kind.name)}"


@cache
def _own_name(name: str) -> str:
    """Basic.GetOk is basic's get_ok."""
    word = name.rpartition(".")[2]
    parts = "".join(f"_{each.lower()}" if each.isupper() else each for each in word)
    return parts.lstrip("_")


def _add_fields(target: Any, source: Any) -> None:
    for index, name in enumerate(source.__slots__):
        target.fields.add(Field(name, index, source.amqp_type(name), []))


def _resolve(klass: Any) -> None:
    for method in klass.methods:
        method.responses = [klass.methods.byname[each] for each in method.responses]
        for response in method.responses:
            response.response = True
