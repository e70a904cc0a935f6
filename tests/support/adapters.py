"""
The transports that adapt another library, and the cases of the native one that
they have to pass, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, cast

import attrs

from tests.support import amqp_peer
from txkombu import BrokerConnection
from txkombu.transport.amqp.session import AmqpSession
from txkombu.transport.amqp.transport import AmqpTransportBase


@attrs.frozen
class Adapter:
    """
    One transport that adapts another library.

    @ivar scheme: of its URLs; with an C{s} for TLS.
    @ivar transport: what connects.
    @ivar words: what the native transport says, and what this one does, both
        as regular expressions.
    @ivar unheard: ways to break the protocol, by the names that
        C{test_amqp_hostile} gives them, which do no harm here.
    """

    scheme: str
    transport: type[AmqpTransportBase]
    words: Mapping[str, str] = attrs.field(factory=dict)
    unheard: frozenset[str] = frozenset()

    @property
    def session(self) -> type[AmqpSession]:
        """What its sessions are."""
        return self.transport.session

    @property
    def peer(self) -> type[amqp_peer.Peer]:
        """What talks to one of its sessions."""
        return type("Peer", (amqp_peer.Peer,), {"kind": self.session})

    def through(self, url: str) -> str:
        """The URL of the same broker by way of this transport."""
        return url.replace("amqp", self.scheme, 1)

    def connection(self, host: Any, **options: Any) -> BrokerConnection:
        """Make a connection, but by this transport."""
        if isinstance(host, str):
            host = self.through(host)
        else:
            host = [self.through(each) for each in host]
        if "transport" in options:
            options["transport"] = self.through(options["transport"])
        return BrokerConnection(host, **options)


class Borrowed:
    """
    Has a case of the native transport run on another.

    @cvar adapter: which.
    @cvar module: where that case is.
    """

    adapter: Adapter
    module: ModuleType

    def setUp(self) -> None:
        adapter, case = self.adapter, cast("Any", self)
        instead: dict[str, Callable[..., Any]] = {
            "NativeSession": adapter.session,
            "AmqpTransport": adapter.transport,
            "BrokerConnection": adapter.connection,
            "Peer": adapter.peer,
        }
        for name in instead.keys() & vars(self.module).keys():
            case.patch(self.module, name, instead[name])
        for ways in ("BROKEN", "BEFORE_TUNE"):
            if hasattr(self.module, ways):
                known = getattr(self.module, ways)
                left = {way: known[way] for way in known.keys() - adapter.unheard}
                case.patch(self.module, ways, left)
        super().setUp()  # type: ignore[misc]  # the case's

    def assertRegex(self, text: str, pattern: str, msg: object = None) -> None:
        """What it cannot read it says in words of its own."""
        expected = self.adapter.words.get(pattern, pattern)
        super().assertRegex(text, expected, msg)  # type: ignore[misc]  # the case's


def borrowed(
    adapter: Adapter, module: str, cases: Mapping[ModuleType, tuple[str, ...]]
) -> dict[str, type]:
    """
    The cases of the native transport on another; to be put among a module's names.

    @param module: the name of that module.
    @param cases: the names of the test cases to run, by the module they are in.
    """
    made = {}
    for source, names in cases.items():
        prefix = source.__name__.rpartition(".test_")[2].title().replace("_", "")
        for name in names:
            case = getattr(source, name)
            made[prefix + name] = type(
                prefix + name,
                (Borrowed, case),
                {
                    "__doc__": case.__doc__,
                    "__module__": module,
                    "adapter": adapter,
                    "module": source,
                },
            )
    return made
