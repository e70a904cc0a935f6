"""
What is used of stompest: its tables of the specification, and its check of a login.

docs/project/adr/0002-own-stomp-parser.rst tells why its parser is not used here; the
tests compare with it.

Since Python 3.12 the compiler warns of stompest's source, which fails the import where
warnings are errors.  Nobody who uses this library can do anything about that.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    for _category in (SyntaxWarning, DeprecationWarning):
        warnings.simplefilter("ignore", _category)
    from stompest.error import StompError
    from stompest.protocol import StompFrame, StompParser, StompSpec
    from stompest.protocol.commands import connected, negotiateHeartBeat

__all__ = [
    "StompError",
    "StompFrame",
    "StompParser",
    "StompSpec",
    "connected",
    "negotiateHeartBeat",
]
