"""
What we take from stompest: its parser, for the login, and its reading of that.

A package of Python 3.12 and later warns of stompest's source when it compiles it,
which fails the import where warnings are errors.  Nothing of that is ours to mend,
and no user of ours can do anything about it.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    for _category in (SyntaxWarning, DeprecationWarning):
        warnings.simplefilter("ignore", _category)
    from stompest.error import StompError
    from stompest.protocol import StompParser
    from stompest.protocol.commands import connected, negotiateHeartBeat

__all__ = ["StompError", "StompParser", "connected", "negotiateHeartBeat"]
