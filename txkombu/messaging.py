"""
The classes that messages go through, under the name Kombu has them.
"""

from .consumer import Consumer
from .entity import Exchange, Queue
from .producer import Producer

__all__ = ["Consumer", "Exchange", "Producer", "Queue"]
