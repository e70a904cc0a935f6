"""
What the native transport has to pass, pika has to pass, too.
"""

from __future__ import annotations

from .adapted import borrowed
from .pika_peer import PIKA

globals().update(borrowed(PIKA, __name__))
