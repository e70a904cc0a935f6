"""
The tests of the native transport that the adapters have to pass as well.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from tests.transport.amqp import (
    test_channel,
    test_channel_model,
    test_closing,
    test_cut_everywhere,
    test_hostile,
    test_limits,
    test_login,
    test_mixed_frames,
    test_refused_publishes,
    test_session,
    test_transport,
    test_update_secret,
)

CASES: Final[dict[ModuleType, tuple[str, ...]]] = {
    test_channel: ("ConsumerTests", "SettleTests", "PublishTests"),
    test_channel_model: ("SessionTests", "ClosingTests", "ConsumingTests"),
    test_closing: ("ClosingTests", "EncryptedClosingTests"),
    test_cut_everywhere: ("SweepTests",),
    test_hostile: ("LoginTests", "SessionTests", "ReentranceTests"),
    test_limits: ("BodyLimitTests", "SizeTests"),
    test_login: ("LoginTests",),
    test_mixed_frames: ("MixedTests",),
    test_refused_publishes: ("TopicTests", "ExchangeTests", "UnnamedTests"),
    test_session: (
        "CloseTests",
        "EventTests",
        "BrokenTests",
        "ChannelNumberTests",
        "HeartbeatTests",
    ),
    test_transport: ("AttemptTests", "TLSTests"),
    test_update_secret: ("CredentialsTests", "UpdateSecretTests"),
}
