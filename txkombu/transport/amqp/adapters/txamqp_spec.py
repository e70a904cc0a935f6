"""
The specification from which txAMQP makes the methods of its channels.

It is built from pamqp's commands, since no package of txAMQP has the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from re import sub
from typing import Any, cast

from pamqp import commands, constants
from txamqp.spec import Class, Constant, Field, Method, Spec

from ..wire.content import CARRIERS


class SpecifiedMethod(Method):  # type: ignore[misc]  # it has no types
    """
    A method as txAMQP knows it.

    @ivar command: the same method as pamqp knows it.
    """

    def __init__(self, owner: Any, name: str, command: Any) -> None:
        """@param owner: its L{Class}."""
        content = command in (commands.Basic.Publish, *CARRIERS)
        super().__init__(
            owner, name, command.frame_id, content, [], command.synchronous, name, []
        )
        self.command = command
        for index, each in enumerate(command.attributes()):
            self.fields.add(Field(each, index, command.amqp_type(each), []))


@cache
def load() -> Any:
    """
    Return AMQP 0-9-1 with RabbitMQ's extensions.

    Each method is a L{SpecifiedMethod}.
    """
    spec = Spec(0, 9, "pamqp")
    spec.constants.add(Constant(spec, "frame_end", constants.FRAME_END, None, []))
    for command in cast("Iterable[Any]", commands.INDEX_MAPPING.values()):
        owner, _, name = method_name(command.name).partition("_")
        if owner not in spec.classes.byname:
            spec.classes.add(Class(spec, owner, command.index >> 16, owner, []))
        klass = spec.classes.byname[owner]
        klass.methods.add(SpecifiedMethod(klass, name, command))
    spec.post_load()
    return spec


@cache
def method_name(name: str) -> str:
    """Return how txAMQP's channels call a method: Basic.GetOk is basic_get_ok."""
    return sub(r"\B(?=[A-Z])", "_", name).replace(".", "_").lower()
