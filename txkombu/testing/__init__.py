"""
Testing programs without a broker, without waiting.

A test case that inherits L{BrokerTestCase} has a broker of its own, in memory, under a
C{Clock}: nothing happens until C{flush()} or C{clock.advance()}.  The broker records
what was published, and can be made to fail.  A test fails if it leaves unsettled
messages, handlers at work or waiting operations behind.
"""

from .broker import RecordingBroker
from .case import BrokerMixin, BrokerTestCase
from .published import Published

__all__ = ["BrokerMixin", "BrokerTestCase", "Published", "RecordingBroker"]
