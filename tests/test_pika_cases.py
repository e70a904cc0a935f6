"""
What the native transport has to pass, pika has to pass, too.
"""

from __future__ import annotations

from re import search
from types import ModuleType
from typing import Any, cast

from txkombu import BrokerConnection
from txkombu.transport.pika import PikaSession, PikaTransport

from . import (
    test_amqp_channel,
    test_amqp_closing,
    test_amqp_hostile,
    test_amqp_limits,
    test_amqp_login,
    test_amqp_mixed,
    test_amqp_rabbitmq,
    test_amqp_secrets,
    test_amqp_session,
    test_amqp_sweep,
    test_amqp_transport,
    test_faults_rabbitmq,
    test_tls_rabbitmq,
)
from .test_pika import Peer

WORDS = {
    "asks for another version": r"begins with b'AMQP\\x03",
    "use amqps": r"begins with b'\\x15\\x03",
}
"""What the native transport says, and what pika's does."""


def connection(host: Any, **options: Any) -> BrokerConnection:
    """Make a connection, but by pika."""
    hosts = [host] if isinstance(host, str) else host
    hosts = [each.replace("amqp", "pika", 1) for each in hosts]
    if "transport" in options:
        options["transport"] = options["transport"].replace("amqp", "pika")
    return BrokerConnection(hosts if len(hosts) > 1 else hosts[0], **options)


INSTEAD = {
    "AmqpSession": PikaSession,
    "AmqpTransport": PikaTransport,
    "BrokerConnection": connection,
    "Peer": Peer,
}
"""What cases use, and what they are to use here."""


class OverPika:
    """
    Has a case of the native transport run over pika.

    @cvar module: where that case is.
    """

    module: ModuleType

    def setUp(self) -> None:
        case = cast(Any, self)
        for name, instead in INSTEAD.items():
            if hasattr(self.module, name):
                case.patch(self.module, name, instead)
        if hasattr(self.module, "BROKEN"):
            # pika forgets which channel a heartbeat was for, which does no harm.
            broken = {**self.module.BROKEN}
            del broken["a heartbeat of a channel"]
            case.patch(self.module, "BROKEN", broken)
        super().setUp()  # type: ignore[misc]  # the case's

    def assertRegex(self, text: str, pattern: str, msg: object = None) -> None:
        """What it cannot read it says in words of its own."""
        if not search("^pika cannot read|instead of one of type", text):
            super().assertRegex(  # type: ignore[misc]
                text, WORDS.get(pattern, pattern), msg
            )


def over_pika(module: ModuleType, *names: str) -> None:
    """Run cases of the native transport over pika, too."""
    for name in names:
        case = getattr(module, name)
        made = f"{module.__name__.rpartition('_')[2].capitalize()}{name}"
        globals()[made] = type(
            made,
            (OverPika, case),
            {"__doc__": case.__doc__, "__module__": __name__, "module": module},
        )


over_pika(test_amqp_channel, "ConsumerTests", "SettleTests", "PublishTests")
over_pika(test_amqp_hostile, "LoginTests", "SessionTests", "ReentranceTests")
over_pika(test_amqp_limits, "SizeTests")
over_pika(test_amqp_login, "LoginTests")
over_pika(test_amqp_mixed, "MixedTests")
over_pika(
    test_amqp_session,
    "CloseTests",
    "EventTests",
    "BrokenTests",
    "ChannelNumberTests",
    "HeartbeatTests",
)
over_pika(test_amqp_sweep, "SweepTests")
over_pika(test_amqp_closing, "ClosingTests", "EncryptedClosingTests")
over_pika(test_amqp_rabbitmq, "RabbitMQTests")
over_pika(test_amqp_secrets, "CredentialsTests", "UpdateSecretTests", "RabbitMQTests")
over_pika(test_amqp_transport, "AttemptTests", "TLSTests")
over_pika(test_faults_rabbitmq, "ProxyTests")
over_pika(test_tls_rabbitmq, "TrustTests")
