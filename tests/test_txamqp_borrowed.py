"""
What the native transport has to pass, txAMQP's client has to pass, too.
"""

from __future__ import annotations

from .adapted import borrowed
from .txamqp_peer import TXAMQP

globals().update(borrowed(TXAMQP, __name__))
