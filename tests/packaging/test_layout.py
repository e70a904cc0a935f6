"""
The layout of the library: where its public names are imported from, and that imports
stand at the top of a file.  The import rules themselves are in C{.importlinter}.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.support.paths import CHECKOUT

LIBRARY: Final = CHECKOUT / "txkombu"
MAX_FILES: Final = 20
"""How many modules may stand at the top of the library."""

PUBLIC: Final = {
    "txkombu": (
        "BrokerConnection Channel Connection Consumer Exchange Message Producer "
        "Queue __version__ binding"
    ),
    "txkombu.compression": (
        "Compressors compress decompress encoders register_compression"
    ),
    "txkombu.connection": ("BrokerConnection State"),
    "txkombu.entity": ("Entity Exchange Queue as_exchange binding"),
    "txkombu.exceptions": (
        "AccessRefused AuthenticationFailed BackpressureError BrokerError "
        "ChannelClosed ChannelError ChannelNumberError CommandInvalid "
        "ConnectError ConnectionClosed ConnectionErrorReply ConnectionForced "
        "ConsumerCancelled ContentDisallowed ContentTooLarge DecodeError "
        "EncodeError FrameError FrameSyntaxError InternalError InvalidPath "
        "InvalidURL KombuError MessageStateError Nacked NoConsumers NotAllowed "
        "NotBoundError NotFound NotImplementedByBroker NotSent NotSentInTime "
        "NotSupported OperationTimeout Outcome OutcomeUnknown "
        "OutcomeUnknownInTime PreconditionFailed ProtocolError "
        "PublishError RemoteError ResourceError ResourceLocked SerializerNotInstalled "
        "SessionLost TransportNotAvailable UnexpectedFrame Unroutable "
        "broker_error"
    ),
    "txkombu.interfaces": (
        "Capability Delivery IBrokerTransport IRenewableSession ISession "
        "ISessionChannel ISessionChannelListener ISessionListener NotWritten "
        "Properties QueueDeclareOk Returned Settlement"
    ),
    "txkombu.messaging": ("Consumer Exchange Producer Queue"),
    "txkombu.monitoring": ("MonitoringService"),
    "txkombu.policy": (
        "Drop FailurePolicy Halt Hold Park ReconnectPolicy Reject Requeue RetryPolicy "
        "Verdict circle default delayed drop halt park reject requeue requeue_once "
        "retry"
    ),
    "txkombu.configuration": ("ConfigurationError Plan Problem read_file"),
    "txkombu.rpc": ("RPCClient RPCServer RemoteError"),
    "txkombu.serialization": (
        "Encoded Registry accept_set decode dumps encode loads register register_json "
        "register_type registry unregister"
    ),
    "txkombu.service": ("ConsumerFactory ConsumerService PublisherService consumer"),
    "txkombu.simple": ("Empty SimpleBuffer SimpleQueue"),
    "txkombu.testing": ("BrokerMixin BrokerTestCase Published RecordingBroker"),
    "txkombu.transport": (
        "ENTRY_POINT_GROUP Scheme known_schemes scheme_named transport_for"
    ),
    "txkombu.transport.memory": (
        "Binding MemoryBroker NeverQuiet RouteFunction broker_named forget_brokers"
    ),
    "txkombu.url": (
        "NO_SERVER_NAME Parameters TLSOptions parameters_for parse_url parse_urls"
    ),
}
"""Each public module, and its names."""


def ours_inside_functions(source: str) -> Iterator[int]:
    """Give the lines of a module on which a function imports from the library."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if any(each.startswith((".", "txkombu")) for each in imports(node)):
                    yield node.lineno  # type: ignore[attr-defined]  # an import has it


def imports(node: ast.AST) -> list[str]:
    """Give the modules that a statement imports, relative ones with their dots."""
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


class ImportTests(SynchronousTestCase):
    """Where the library imports what."""

    def test_at_the_top(self) -> None:
        """No function imports a module of ours; transports load by their scheme."""
        found = [
            f"{path.relative_to(CHECKOUT)}:{line}"
            for path in sorted(LIBRARY.rglob("*.py"))
            for line in ours_inside_functions(path.read_text(encoding="utf-8"))
        ]
        self.assertEqual(found, [])

    def test_found(self) -> None:
        """An import inside a function is found, whatever its form."""
        for line in (
            "from . import x",
            "from .a import x",
            "from txkombu import x",
            "import os, txkombu.url",
        ):
            source = (
                f"def outer():\n    class A:\n        def f(self):\n            {line}"
            )
            self.assertIn(4, list(ours_inside_functions(source)))
        self.assertEqual(list(ours_inside_functions("def f():\n    import os")), [])

    def test_few_at_the_root(self) -> None:
        """Few modules stand at the top; packages name the layers."""
        self.assertLessEqual(len(list(LIBRARY.glob("*.py"))), MAX_FILES)


class PublicNamesTests(SynchronousTestCase):
    """What users import, and from where."""

    def test_public(self) -> None:
        """Each public module has the names that it had."""
        for name, names in PUBLIC.items():
            module = import_module(name)
            self.assertEqual(sorted(module.__all__), names.split(), name)
            missing = [each for each in names.split() if not hasattr(module, each)]
            self.assertEqual(missing, [], name)
