"""
The specification that txAMQP makes the methods of its channels from, built from
pamqp's commands: no package of txAMQP has the file.
"""

from __future__ import annotations

from functools import cache
from re import sub
from typing import Any

from pamqp import commands, constants
from txamqp.spec import Class, Constant, Field, Method, Spec

from ..wire.content import CARRIERS


@cache
def load() -> Any:
    """
    @return: AMQP 0-9-1 with RabbitMQ's extensions.  Each method has one attribute
        more than txAMQP knows, C{command}: pamqp's.
    """
    spec = Spec(0, 9, "pamqp")
    spec.constants.add(Constant(spec, "frame_end", constants.FRAME_END, None, []))
    for command in commands.INDEX_MAPPING.values():
        _add(spec, command)
    spec.post_load()
    return spec


def _add(spec: Any, command: Any) -> None:
    owner, _, name = method_name(command.name).partition("_")
    if owner not in spec.classes.byname:
        spec.classes.add(Class(spec, owner, command.index >> 16, owner, []))
    klass = spec.classes.byname[owner]
    content = command in (commands.Basic.Publish, *CARRIERS)
    method = Method(
        klass, name, command.frame_id, content, [], command.synchronous, name, []
    )
    method.command = command
    for index, each in enumerate(command.attributes()):
        method.fields.add(Field(each, index, command.amqp_type(each), []))
    klass.methods.add(method)


@cache
def method_name(name: str) -> str:
    """How txAMQP's channels call a method: Basic.GetOk is basic_get_ok."""
    return sub(r"\B(?=[A-Z])", "_", name).replace(".", "_").lower()
