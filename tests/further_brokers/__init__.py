"""
Tests with brokers that Debian 12 does not have, and with clusters.

They need root; C{./run test-brokers} runs them.
"""
