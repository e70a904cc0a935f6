"""
Shorter waits at close, for tests with a broker that never answers.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def shorten_closing(case: Any, seconds: float = 0.5) -> None:
    """Make everything that closes wait for each answer only so many seconds."""
    for transport in ("amqp.native", "stomp"):
        import_module(f"txkombu.transport.{transport}")
    for name, module in list(sys.modules.items()):
        if name.startswith("txkombu."):
            for constant in ("CLOSE_SECONDS", "CLOSE_TIMEOUT"):
                if hasattr(module, constant):
                    case.patch(module, constant, seconds)
