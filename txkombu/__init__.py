"""txkombu: Kombu's messaging model, native to Twisted."""

from ._version import __version__
from .connection import BrokerConnection
from .core.channel import Channel
from .entity import Exchange, Queue, binding
from .message import Message
from .messaging.consumer import Consumer
from .messaging.producer import Producer

Connection = BrokerConnection
"""Kombu's later name for it."""

__all__ = [
    "BrokerConnection",
    "Channel",
    "Connection",
    "Consumer",
    "Exchange",
    "Message",
    "Producer",
    "Queue",
    "__version__",
    "binding",
]
