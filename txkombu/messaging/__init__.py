"""The classes that messages go through, under the name Kombu has them."""

from ..entity import Exchange, Queue
from .consumer import Consumer
from .producer import Producer

__all__ = ["Consumer", "Exchange", "Producer", "Queue"]
