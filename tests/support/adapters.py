"""
The transports that adapt another library, and how to run the native transport's test
cases on them.
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
    A transport that adapts another library.

    @ivar scheme: the scheme of its URLs; with an C{s} for TLS.
    @ivar transport: the class of the transport.
    @ivar words: error texts of the native transport, and the corresponding ones of this
        transport, as regular expressions.
    @ivar unheard: ways to break the protocol, by the names that C{test_amqp_hostile}
        gives them, that do no harm on this transport.
    """

    scheme: str
    transport: type[AmqpTransportBase]
    words: Mapping[str, str] = attrs.field(factory=dict)
    unheard: frozenset[str] = frozenset()

    @property
    def session(self) -> type[AmqpSession]:
        """The class of its sessions."""
        return self.transport.session

    @property
    def peer(self) -> type[amqp_peer.Peer]:
        """The class of the peer that talks to one of its sessions."""
        return type("Peer", (amqp_peer.Peer,), {"kind": self.session})

    def through(self, url: str) -> str:
        """Return the URL of the same broker with this transport's scheme."""
        return url.replace("amqp", self.scheme, 1)

    def connection(self, host: Any, **options: Any) -> BrokerConnection:
        """Make a connection that uses this transport."""
        if isinstance(host, str):
            host = self.through(host)
        else:
            host = [self.through(each) for each in host]
        if "transport" in options:
            options["transport"] = self.through(options["transport"])
        return BrokerConnection(host, **options)


class Borrowed:
    """
    Runs a test case of the native transport on another transport.

    @cvar adapter: the other transport.
    @cvar module: the module of the test case.
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
        super().setUp()  # type: ignore[misc]  # a method of the case

    def assertRegex(self, text: str, pattern: str, msg: object = None) -> None:
        """Expect the transport's own words where it has some."""
        expected = self.adapter.words.get(pattern, pattern)
        super().assertRegex(text, expected, msg)  # type: ignore[misc]  # a method of the case


def borrowed(
    adapter: Adapter, module: str, cases: Mapping[ModuleType, tuple[str, ...]]
) -> dict[str, type]:
    """
    Return the native transport's cases for another transport, to be added to a module's
    names.

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
