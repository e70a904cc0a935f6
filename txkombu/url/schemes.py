"""The URL schemes: the transport of each, and the defaults of its URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from re import compile as pattern
from typing import Final, cast

import attrs

from .._util.suggestions import known_names
from .._util.validation import kind_of
from ..exceptions import InvalidURL

ENTRY_POINT_GROUP: Final = "txkombu.transports"
_WORD: Final = pattern(r"[a-z][a-z0-9+.-]{0,40}")


@attrs.frozen
class Scheme:
    """
    One URL scheme.

    @ivar name: its name in lower case.
    @ivar target: the transport's class, as C{"module:attribute"}.
    @ivar port: the port of URLs that give none; 0 leaves it to the transport.
    @ivar tls: C{True} if it is always encrypted, C{False} if never, C{None}
        if the transport decides.
    @ivar local: whether its URLs need no host, user and password.
    @ivar extra: the extra of txkombu that installs its library, or C{""}.
    @ivar options: where the transport keeps the checks of options that only it takes,
        as C{"module:attribute"}, or C{""}.
    """

    name: str
    target: str
    port: int = 0
    tls: bool | None = None
    local: bool = False
    extra: str = ""
    options: str = ""

    def own_options(self) -> Mapping[str, Callable[[object], None]]:
        """
        Load the options that only this transport takes.

        @return: for each name the check of a value, which raises TypeError or
            ValueError.
        """
        module, _, attribute = self.options.partition(":")
        found = getattr(import_module(module), attribute) if module else {}
        return cast("Mapping[str, Callable[[object], None]]", found)


_PACKAGE = "txkombu.transport"
_AMQP = f"{_PACKAGE}.amqp.native:AmqpTransport"
_TXAMQP = f"{_PACKAGE}.amqp.adapters.txamqp:TxAMQPTransport"
_PIKA = f"{_PACKAGE}.amqp.adapters.pika:PikaTransport"
_STOMP = f"{_PACKAGE}.stomp:StompTransport"
_STOMP_OPTIONS = f"{_PACKAGE}.stomp.session:OPTIONS"
_MEMORY = f"{_PACKAGE}.memory.transport:MemoryTransport"

SCHEMES: Final = {
    scheme.name: scheme
    for scheme in (
        Scheme("amqp", _AMQP, 5672, tls=False),
        Scheme("amqps", _AMQP, 5671, tls=True),
        Scheme("txamqp", _TXAMQP, 5672, tls=False),
        Scheme("txamqps", _TXAMQP, 5671, tls=True),
        Scheme("pika", _PIKA, 5672, tls=False, extra="pika"),
        Scheme("pikas", _PIKA, 5671, tls=True, extra="pika"),
        Scheme("stomp", _STOMP, 61613, tls=False, options=_STOMP_OPTIONS),
        Scheme("stomp+ssl", _STOMP, 61614, tls=True, options=_STOMP_OPTIONS),
        Scheme("memory", _MEMORY, tls=False, local=True),
    )
}


def registered_schemes() -> dict[str, EntryPoint]:
    """Return the schemes of other packages; they cannot replace one of L{SCHEMES}."""
    return {each.name.lower(): each for each in entry_points(group=ENTRY_POINT_GROUP)}


def known_schemes() -> list[str]:
    """Return the names of all schemes, those of L{SCHEMES} first."""
    return [*SCHEMES, *sorted(registered_schemes().keys() - SCHEMES.keys())]


def scheme_named(name: str) -> Scheme:
    """
    Return the scheme of a name.

    @param name: such as C{"amqp"}, without C{"://"}, in upper or lower case.
    @raise TypeError: the name is not a str.
    @raise InvalidURL: there is no such scheme; the text suggests a similar one.
    """
    if not isinstance(name, str):
        raise TypeError(f"a transport's name must be a str, not {kind_of(name)}")
    wanted = name.lower()
    if wanted in SCHEMES:
        return SCHEMES[wanted]
    registered = registered_schemes().get(wanted)
    if registered is None:
        shown = f" {wanted!r}" if _WORD.fullmatch(wanted) else ""
        raise InvalidURL(
            f"unknown transport{shown}: {known_names(wanted, known_schemes())}"
        )
    return Scheme(wanted, registered.value)
