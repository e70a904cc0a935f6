"""
Testing programs without a broker, without waiting.

A test case that inherits L{BrokerTestCase} has a broker of its own, in
memory, under a C{Clock}: nothing happens until C{flush()} or
C{clock.advance()}.  The broker tells what was published, and can be made to
fail.  At the end of a test, messages left unsettled, handlers still at work
and operations that still wait fail it.
"""

from .broker import RecordingBroker
from .case import BrokerMixin, BrokerTestCase
from .published import Published

__all__ = ["BrokerMixin", "BrokerTestCase", "Published", "RecordingBroker"]
