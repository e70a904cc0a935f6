"""
Long runs against brokers that fail: C{./run soak}.

L{tests.soak.scenario} publishes and consumes while connections are cut and the broker
is killed and frozen, and counts what arrived.  L{tests.soak.reconnects} reconnects
often, and compares what the client holds.  Tests run both for a shorter time.
"""
