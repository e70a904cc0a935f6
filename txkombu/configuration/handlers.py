"""Handlers as a configuration file names them, with what it says of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any

import attrs

from ..entity import Queue
from ..messaging.consumer import Consumer
from ..service import ConsumerFactory
from ..service.handlers import Handler, check_handler, check_runs, factory_of
from .consumer_loader import check_consumer, object_named
from .structure import Wrong


def handler_factory(
    name: str,
    queues: tuple[Queue, ...],
    thread: bool | None,
    options: Mapping[str, Any],
) -> ConsumerFactory:
    """
    Import a handler, and apply what a file says of it.

    @param name: C{package.module:Name} of a L{Consumer} subclass, of a function of
        (body, message), marked with C{@consumer} or not, or of a function that makes a
        consumer.
    @param queues: replace those that the handler itself names; may be empty.
    @param thread: whether to call a function in threads; C{None} leaves it as it is.
    @param options: further arguments of the consumer.
    @raise ValueError: there is no such handler, or the file says of it what cannot be.
    """
    found: Any = factory_of(object_named(name))
    if isinstance(found, type) and issubclass(found, Consumer):
        if thread is not None:
            raise Wrong("thread is for functions, not for subclasses of Consumer")
        check_runs(found.receive)
        return _of_class(found, queues, options)
    if callable(found):
        check_runs(found)
    if _is_handler(found):
        found = Handler(found, ())
    if isinstance(found, Handler):
        return _of_function(name, found, queues, thread, options)
    made = check_consumer(name, found)
    if queues or options or thread is not None:
        given = [*(["queues"] if queues else []), *options]
        given += [] if thread is None else ["thread"]
        raise Wrong(
            f"{name!r} makes its consumer itself, and so decides on {', '.join(given)}"
        )
    return made


def _is_handler(found: Any) -> bool:
    """Return whether it is a function of (body, message), and not of a channel."""
    if isinstance(found, type | Handler) or not callable(found):
        return False
    try:
        check_handler(found)
    except TypeError:
        return False
    return True


def _of_class(
    cls: type[Consumer], queues: tuple[Queue, ...], options: Mapping[str, Any]
) -> ConsumerFactory:
    attributes = {
        # As the attribute of a class, a function would become a method.
        name: staticmethod(value) if isinstance(value, FunctionType) else value
        for name, value in {**options, "queues": queues or cls.queues}.items()
    }
    # Arguments may be class attributes, whatever the parameters of __init__ are.
    return type(cls.__name__, (cls,), {"__module__": cls.__module__, **attributes})


def _of_function(
    name: str,
    handler: Handler,
    queues: tuple[Queue, ...],
    thread: bool | None,
    options: Mapping[str, Any],
) -> ConsumerFactory:
    if not queues and not handler.queues:
        raise Wrong(f"{name!r} names no queues itself: queues must name some")
    return attrs.evolve(
        handler,
        queues=queues or handler.queues,
        thread=handler.thread if thread is None else thread,
        options={**handler.options, **options},
    )
