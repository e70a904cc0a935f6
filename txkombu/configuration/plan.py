"""What a configuration file describes, made of the library's own objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import PurePath
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.task import Clock

from .._util.suggestions import did_you_mean
from .._util.validation import check_seconds
from ..connection import BrokerConnection
from ..entity import Exchange, Queue, binding
from ..exceptions import KombuError
from ..messaging.consumer import Consumer
from ..serialization import accept_set
from ..service import ConsumerFactory, PublisherService
from ..service.broker_service import SHUTDOWN_TIMEOUT
from ..service.connection_names import hosted_connection
from ..service.handlers import with_publisher
from ..service.hosted_consumer import HostedConsumer
from ..transport.tls import check_files
from ..url import TLSOptions
from .conflicts import Declarations
from .consumer_loader import function_named
from .document import Document
from .endpoint import checked_endpoint
from .errors import Path, Problem, shown_path
from .handlers import handler_factory
from .service_file import (
    BindingSection,
    BrokerSection,
    ConsumerSection,
    LogSection,
    QueueSection,
    ServiceFile,
    TLSSection,
)
from .structure import Wrong
from .values import failure_policy

T = TypeVar("T")


@attrs.frozen
class Plan:
    """
    What a configuration file describes; nothing of it is connected.

    @ivar file: the name of the file.
    @ivar connection: the connection of the consumers.
    @ivar publisher: what handlers publish with, or None.
    @ivar consumers: what makes each consumer.
    @ivar exchanges: the exchanges of the file, by name.
    @ivar queues: the queues of the file, by name.
    @ivar declared: these queues, and those that consumers name.
    @ivar shutdown_timeout: seconds that running handlers have to finish.
    @ivar log: what is logged; it has the C{level} and the C{format} of the file.
    @ivar http: the endpoint of health and metrics, or None.
    """

    file: str
    connection: BrokerConnection
    publisher: PublisherService | None
    consumers: list[ConsumerFactory]
    exchanges: Mapping[str, Exchange]
    queues: Mapping[str, Queue]
    declared: list[Queue]
    shutdown_timeout: float
    log: LogSection
    http: str | None = None


def plan_of(document: Document, file: ServiceFile) -> Plan:
    """
    Make what a file describes.

    @param document: the file, for the lines of its faults.
    @param file: its sections.
    @raise ConfigurationError: something in it cannot be.
    """
    maker = _Maker(document, file)
    plan = maker.plan()
    if maker.problems:
        raise document.error(*maker.problems)
    assert plan is not None
    return plan


class _Maker:
    """
    Makes the parts of a plan one by one, and goes on after faults, to tell of all.

    @ivar problems: the faults.
    """

    def __init__(self, document: Document, file: ServiceFile) -> None:
        self._file = file
        self._name = document.file
        self.problems: list[Problem] = []
        self._exchanges: dict[str, Exchange] = {}
        self._queues: dict[str, Queue] = {}
        self._declared: list[Queue] = []
        self._declarations = Declarations()

    def plan(self) -> Plan | None:
        """Make all; return None if something is wrong."""
        file = self._file
        connection = self._connection(("broker",), file.broker, "consumers")
        publisher = self._publisher()
        self._make_exchanges()
        self._make_queues()
        self._declared += self._queues.values()
        consumers = [
            self._consumer(number, section, publisher)
            for number, section in enumerate(file.consumers)
        ]
        if not consumers:
            self._note(("consumers",), "must have at least one consumer")
        timeout = self._timeout()
        if file.app is not None and not file.app.isprintable():
            self._note(("app",), "must have printable characters only")
        if file.http is not None:
            self._attempt(("http",), None, partial(checked_endpoint, file.http))
        if self.problems or connection is None:
            return None
        return Plan(
            self._name,
            connection,
            publisher,
            [each for each in consumers if each is not None],
            self._exchanges,
            self._queues,
            list({each.name: each for each in self._declared}.values()),
            timeout,
            file.log,
            file.http,
        )

    def _note(self, path: Path, text: str) -> None:
        self.problems.append(Problem(path, text))

    def _attempt(
        self, path: Path, section: object, make: Callable[[], T], key: str = ""
    ) -> T | None:
        """
        Make something of a section, and note the error if that fails.

        @param section: an error that begins with one of its keys is of that key.
        @param key: the key that any other error is of; by default the section.
        """
        try:
            return make()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a handler's sys.exit() must not end the check
            text = _in_words(error)
        for each in _keys_given(section):
            if text.startswith(f"{each} "):
                key, text = each, text.removeprefix(f"{each} ")
        self._note((*path, key) if key else path, text)
        return None

    # --- connections --------------------------------------------------------

    def _connection(
        self, path: Path, section: BrokerSection, purpose: str
    ) -> BrokerConnection | None:
        tls = self._tls((*path, "tls"), section.tls)

        def make() -> BrokerConnection:
            return hosted_connection(
                section.url if len(section.url) > 1 else section.url[0],  # with ";"
                purpose,
                self._file.app or PurePath(self._name).stem,
                userid=section.userid and section.userid(),
                password=section.password,
                virtual_host=section.virtual_host,
                tls=tls,
                **_given(section, _OPTIONS_OF_BROKER),
            )

        return self._attempt(path, section, make)

    def _tls(self, path: Path, tls: TLSSection | None) -> TLSOptions | None:
        if tls is None:
            return None
        known = len(self.problems)
        for key in _TLS_FILES:
            self._attempt(
                (*path, key), None, partial(_check_readable, getattr(tls, key))
            )
        if len(self.problems) > known:
            return None
        given = _given(tls, _keys_of(tls) - {"password"})
        password = None if tls.password is None else tls.password()

        def make() -> TLSOptions:
            options = TLSOptions(password=password, **given)
            _check_files(options)
            return options

        return self._attempt(path, tls, make)

    def _publisher(self) -> PublisherService | None:
        section = self._file.publisher
        if section is None:
            return None
        path: Path = ("publisher", "broker")
        broker = section.broker
        if broker is None:
            path, broker = ("broker",), self._file.broker
        known = len(self.problems)
        connection = self._connection(path, broker, "publisher")
        if section.broker is None:
            del self.problems[known:]  # the same as of the consumers' connection
        names = section.middleware or []
        middleware = self._functions(("publisher",), names)
        if connection is None:
            return None
        return PublisherService(connection, middleware=middleware)

    # --- entities -----------------------------------------------------------

    def _make_exchanges(self) -> None:
        for name, section in self._file.exchanges.items():
            make = partial(Exchange, name, **_given(section, _keys_of(section)))
            made = self._attempt(("exchanges", name), section, make)
            if made is not None:
                self._exchanges[name] = made

    def _make_queues(self) -> None:
        for name, section in self._file.queues.items():
            path: Path = ("queues", name)
            made = self._attempt(path, section, partial(self._queue, path, section))
            if made is not None:
                self._queues[name] = made

    def _queue(self, path: Path, section: QueueSection) -> Queue:
        name = str(path[-1])
        if not name:
            raise Wrong("a queue needs a name")
        if name.startswith("amq.") and not section.no_declare:
            raise Wrong("a name that begins with amq. is the broker's: choose another")
        given = _given(section, _keys_of(section) - _HOW_BOUND)
        return Queue(name, **self._bound(path, section), **given)

    def _bound(self, path: Path, section: QueueSection) -> dict[str, Any]:
        if section.exchange is not None:
            if section.bindings:
                raise Wrong("bindings replaces exchange: give one of them")
            exchange = self._exchange(path, section.exchange)
            return {"exchange": exchange, "routing_key": section.routing_key}
        for key in ("routing_key", "binding_arguments"):
            if getattr(section, key):
                raise Wrong(f"{key} is for the binding to exchange: name one")
        bindings = [
            self._binding((*path, "bindings", number), each)
            for number, each in enumerate(section.bindings)
        ]
        return {"bindings": bindings} if bindings else {}

    def _binding(self, path: Path, section: BindingSection) -> binding:
        exchange = self._exchange(path, section.exchange)
        return binding(exchange, section.routing_key, section.arguments)

    def _exchange(self, path: Path, name: str) -> Exchange:
        """Return an exchange of the file, or one that every broker has."""
        known = self._file.exchanges
        if name not in known and not name.startswith("amq."):
            guess = did_you_mean(name, known) or "those of exchanges can be named"
            self._note((*path, "exchange"), f"there is no exchange {name!r}: {guess}")
        return self._exchanges.get(name) or Exchange.named(name)

    # --- consumers ----------------------------------------------------------

    def _consumer(
        self, number: int, section: ConsumerSection, publisher: PublisherService | None
    ) -> ConsumerFactory | None:
        path: Path = ("consumers", number)
        queues = self._queues_of(path, section)
        options = _given(section, _keys_of(section) - _NO_OPTIONS)
        if section.on_failure is not None:
            make = partial(failure_policy, section.on_failure, self._queues)
            policy = self._attempt((*path, "on_failure"), None, make)
            options["on_failure"] = policy
        if section.middleware is not None:
            options["middleware"] = self._functions(path, section.middleware)
        known = len(self.problems)
        self._attempt((*path, "accept"), None, partial(accept_set, section.accept))
        factory = self._attempt(
            path,
            section,
            lambda: handler_factory(section.handler, queues, section.thread, options),
            key="handler",
        )
        if factory is None or len(self.problems) > known or _STAND_IN in queues:
            return None
        make_consumer = partial(_made, factory, publisher)
        made = self._attempt(path, section, make_consumer, "handler")
        if made is not None:
            self._note_declared(path, made)
        return factory

    def _note_declared(self, path: Path, made: Consumer) -> None:
        queues: list[Queue] = made.queues  # type: ignore[assignment]  # a list by now
        self._declared += queues
        if made.auto_declare is True:
            by = shown_path(path)
            for text in self._declarations.add(queues, by):
                self._note((*path, "queues"), text)

    def _queues_of(self, path: Path, section: ConsumerSection) -> tuple[Queue, ...]:
        found = []
        names: list[str] = list(section.queues or ())
        for name in {each for each in names if names.count(each) > 1}:
            self._note((*path, "queues"), f"queue {name!r} is named twice")
        for name in dict.fromkeys(names):
            found.append(self._queues.get(name, _STAND_IN))
            if name in self._file.queues:
                continue
            guess = did_you_mean(name, self._file.queues)
            text = f"there is no queue {name!r}: {guess or 'queues has to define it'}"
            self._note((*path, "queues"), text)
        return tuple(found)

    def _functions(self, path: Path, names: list[str]) -> list[Any]:
        found = (
            self._attempt(
                (*path, "middleware", number), None, partial(function_named, name, 3)
            )
            for number, name in enumerate(names)
        )
        return [each for each in found if each is not None]

    # --- the rest -----------------------------------------------------------

    def _timeout(self) -> float:
        seconds = self._file.shutdown_timeout
        if seconds is None:
            return SHUTDOWN_TIMEOUT
        check = partial(check_seconds, "shutdown_timeout", seconds)
        checked = self._attempt((), self._file, check)
        return SHUTDOWN_TIMEOUT if checked is None else checked


_TLS_FILES: Final = ("cacertfile", "certfile", "keyfile")
_OPTIONS_OF_BROKER: Final = {
    "heartbeat",
    "connect_timeout",
    "operation_timeout",
    "wait_for_broker",
}
_STAND_IN: Final = Queue("unknown")
"""Stands for a queue whose fault was told, so that the handler's is not told, too."""
_HOW_BOUND: Final = {"exchange", "routing_key", "bindings"}
_NO_OPTIONS: Final = {"handler", "queues", "on_failure", "middleware", "thread"}


def _made(factory: ConsumerFactory, publisher: PublisherService | None) -> Consumer:
    """Make a consumer on a connection that is not used, to see that it can be."""
    connection = BrokerConnection("memory://", reactor=Clock())
    return HostedConsumer(connection, with_publisher(factory, publisher)).consumer


def _check_readable(path: str | None) -> None:
    if path is None:
        return
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Wrong(f"{path!r} cannot be read: {error.strerror or error}") from None


def _check_files(tls: TLSOptions) -> None:
    """Read certificates and keys; begin an error with the key that names its file."""
    if not (tls.cacertfile or tls.certfile):
        return
    try:
        check_files(tls)
    except ValueError as error:
        for key in _TLS_FILES:
            if str(error).startswith(f"{getattr(tls, key)} "):
                raise Wrong(f"{key} {error}") from None
        raise


def _keys_of(section: Any) -> set[str]:
    if section is None:
        return set()
    return {each.name for each in attrs.fields(type(section))}


def _keys_given(section: Any) -> set[str]:
    """Return the keys that say something else than their default."""
    keys = () if section is None else attrs.fields(type(section))
    return {each.name for each in keys if getattr(section, each.name) != each.default}


def _in_words(error: BaseException) -> str:
    """Return an error in one line; of a user's code, with its type."""
    text = " ".join(str(error).split())
    if text and isinstance(error, KombuError | TypeError | ValueError):
        return text
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def _given(section: Any, keys: Iterable[str]) -> dict[str, Any]:
    """Return the keys that have a value."""
    values = {each: getattr(section, each) for each in keys}
    return {each: value for each, value in values.items() if value is not None}
