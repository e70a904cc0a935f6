"""
The table of URL schemes, and what is imported when.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

import txkombu
from txkombu.exceptions import InvalidURL, TransportNotAvailable
from txkombu.interfaces import IBrokerTransport, ISession, ISessionListener
from txkombu.transport import (
    Scheme,
    known_schemes,
    registry,
    scheme_named,
    transport_for,
)
from txkombu.url import Parameters, parse_url

OURS = [
    "amqp",
    "amqps",
    "txamqp",
    "txamqps",
    "pika",
    "pikas",
    "stomp",
    "stomp+ssl",
    "memory",
]


@implementer(ISessionListener)
class Listener:
    """Listens, and hears nothing."""

    def session_lost(self, reason: Exception) -> None:
        raise AssertionError(reason)

    def blocked(self, reason: str) -> None:
        raise AssertionError(reason)

    def unblocked(self) -> None:
        raise AssertionError

    write_paused = write_resumed = unblocked


@implementer(IBrokerTransport)
class PigeonTransport:
    """What a package of someone else might provide."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def connect(
        self,
        parameters: Parameters,
        endpoint: IStreamClientEndpoint | None,
        clock: IReactorTime,
        listener: ISessionListener,
    ) -> Deferred[ISession]:
        result: Deferred[ISession] = Deferred()
        result.callback((parameters, endpoint, clock, listener))  # type: ignore[arg-type]  # stands for a session
        return result


class SchemeTests(SynchronousTestCase):
    """The schemes that come with the library."""

    def test_known(self) -> None:
        """All schemes are known from the start, built or not."""
        self.assertEqual(known_schemes()[: len(OURS)], OURS)

    def test_named(self) -> None:
        """A scheme is found by its bare name, in any case."""
        self.assertEqual(scheme_named("Stomp+SSL").port, 61614)

    def test_unknown(self) -> None:
        """An unknown one is refused with the nearest that is known, and all."""
        error = self.assertRaises(InvalidURL, scheme_named, "memori")
        self.assertEqual(
            str(error),
            "unknown transport 'memori': did you mean 'memory'? known are "
            + ", ".join(known_schemes()),
        )
        self.assertRaises(InvalidURL, transport_for, "memori")

    def test_never_a_module(self) -> None:
        """A name that could be imported is no scheme."""
        for name in ("txkombu.transport.memory.transport", "os:system", "json"):
            self.assertRaises(InvalidURL, scheme_named, name)

    def test_not_a_str(self) -> None:
        """A name is a str."""
        self.assertRaises(TypeError, scheme_named, None)

    def test_provide_the_interface(self) -> None:
        """The transport of each scheme provides L{IBrokerTransport}."""
        for name in OURS:
            verifyObject(IBrokerTransport, transport_for(name))

    def test_not_available(self) -> None:
        """A transport that is not built yet constructs; connecting says so."""
        name = scheme_named("pika").target.partition(":")[0]
        self.assertRegex(
            self.refusal(ModuleNotFoundError(f"No module named '{name}'", name=name)),
            "the pika transport is not available here: this version .* not have it$",
        )

    def test_library_missing(self) -> None:
        """One whose library is missing says what to install."""
        self.assertRegex(
            self.refusal(ModuleNotFoundError("No module named 'pika'", name="pika")),
            r"the pika transport is not available here: No .*; pip install "
            r"txkombu\[pika\]$",
        )

    def refusal(self, cause: Exception) -> str:
        """What connecting says when the transport cannot be loaded."""

        def provider(scheme: Scheme) -> Any:
            raise cause

        self.patch(registry, "_provider", provider)
        transport = transport_for("pika")
        failed = transport.connect(parse_url("pika://h"), None, Clock(), Listener())
        error = self.failureResultOf(failed, TransportNotAvailable).value
        self.assertIs(error.__cause__, cause)
        return str(error)


class EntryPointTests(SynchronousTestCase):
    """Transports of other packages, from the group C{txkombu.transports}."""

    def setUp(self) -> None:
        self.patch(PigeonTransport, "made", 0)

    def register(self, *lines: str) -> None:
        """Make a package that registers these entry points."""
        root = Path(self.mktemp()).absolute()
        info = root / "pigeon-1.0.dist-info"
        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text(
            "Metadata-Version: 2.1\nName: pigeon\nVersion: 1.0\n"
        )
        text = "\n".join(["[txkombu.transports]", *lines, ""])
        info.joinpath("entry_points.txt").write_text(text)
        self.patch(sys, "path", [str(root), *sys.path])

    def test_found(self) -> None:
        """A registered scheme is known, and used with what connect was given."""
        self.register(f"pigeon = {__name__}:PigeonTransport")
        self.assertIn("pigeon", known_schemes())
        transport = transport_for("pigeon")
        self.assertEqual(PigeonTransport.made, 0, "not before it connects")
        parameters, clock, listener = parse_url("pigeon://loft"), Clock(), Listener()
        connected = transport.connect(parameters, None, clock, listener)
        given: object = self.successResultOf(connected)
        self.assertEqual(given, (parameters, None, clock, listener))

    def test_made_once(self) -> None:
        """One transport object connects again and again."""
        self.register(f"pigeon = {__name__}:PigeonTransport")
        transport = transport_for("pigeon")
        for _ in range(2):
            self.successResultOf(
                transport.connect(parse_url("pigeon://"), None, Clock(), Listener())
            )
        self.assertEqual(PigeonTransport.made, 1)

    def test_parameters(self) -> None:
        """Its URLs are read like any other; TLS is left to it, and so is the port."""
        self.register(f"pigeon = {__name__}:PigeonTransport")
        self.assertEqual(parse_url("pigeon://loft").port, 0)
        self.assertIsNone(parse_url("pigeon://loft").tls)
        found = parse_url("pigeon://loft?cacertfile=/ca").tls
        assert found is not None
        self.assertEqual(found.cacertfile, "/ca")

    def test_suggested(self) -> None:
        """It takes part in suggestions."""
        self.register(f"pigeon = {__name__}:PigeonTransport")
        error = self.assertRaises(InvalidURL, scheme_named, "pidgeon")
        self.assertIn("did you mean 'pigeon'?", str(error))

    def test_table_comes_first(self) -> None:
        """No package can take over a scheme of ours."""
        self.register(f"memory = {__name__}:PigeonTransport")
        self.assertEqual(known_schemes().count("memory"), 1)
        self.assertNotIn("Pigeon", scheme_named("memory").target)

    def test_broken(self) -> None:
        """One that cannot be imported, or made, is not available when connecting."""
        self.register(
            "lost = txkombu_no_such_module:Transport",
            f"wrong = {__name__}:NoSuchName",
            f"refuses = {__name__}:refuses",
        )
        for name, reason in {
            "lost": "No module named 'txkombu_no_such_module'",
            "wrong": "NoSuchName",
            "refuses": "not today",
        }.items():
            failed = transport_for(name).connect(
                parse_url(f"{name}://"), None, Clock(), Listener()
            )
            error = self.failureResultOf(failed, TransportNotAvailable).value
            self.assertIn(f"the {name} transport is not available here", str(error))
            self.assertIn(reason, str(error))


def refuses() -> PigeonTransport:
    """A provider that raises."""
    raise RuntimeError("not today")


class MemoryTests(SynchronousTestCase):
    """C{memory://name}"""

    def test_by_name(self) -> None:
        """The broker of that name is told to connect, with all it was given."""
        asked: list[object] = []

        class Broker:
            def connect(self, *given: object) -> Deferred[str]:
                asked.extend(given)
                return succeed("session")

        def broker_named(name: str) -> Broker:
            asked.append(name)
            return Broker()

        from txkombu.transport.memory import transport as named

        self.patch(named, "broker_named", broker_named)
        parameters, clock, listener = parse_url("memory://demo"), Clock(), Listener()
        found = transport_for("memory").connect(parameters, None, clock, listener)
        self.assertEqual(self.successResultOf(found), "session")
        self.assertEqual(asked, ["demo", parameters, None, clock, listener])


IMPORTS = """
import sys
before = set(sys.modules)  # a .pth file may have made a namespace
import txkombu
import txkombu.url
from txkombu.transport import known_schemes, transport_for
for name in known_schemes():
    transport_for(name)
    txkombu.url.parse_url(name + "://h").as_uri()
{more}
found = set(sys.modules) - before
unwanted = "pamqp txamqp pika stompest stompest.protocol twisted.internet.reactor"
print([name for name in unwanted.split() if name in found])
"""

CONSTRUCT = """
exchange = txkombu.Exchange("media")
queue = txkombu.Queue("video", exchange, "video")
for name in known_schemes():
    txkombu.BrokerConnection(name + "://h").as_uri()
"""


class ImportTests(SynchronousTestCase):
    """What importing the library, and constructing, imports."""

    def run_python(self, program: str) -> str:
        root = Path(txkombu.__file__).parent.parent
        return subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            cwd=root,
        ).stdout.strip()

    def test_nothing_of_a_transport(self) -> None:
        """
        Importing the library and constructing everything imports no library
        of a transport, and not the reactor.
        """
        self.assertEqual(self.run_python(IMPORTS.format(more=CONSTRUCT)), "[]")
