"""
The test suite.

The folders are named as the packages of the library that they test.  Beside them are
C{brokers}, all tests that need RabbitMQ or ActiveMQ; C{further_brokers}, those that
need RabbitMQ 4 or a cluster; C{contract} and C{conformance}, the suites that every
transport has to pass; C{scenarios}, what was recorded from RabbitMQ; C{documentation}
and C{packaging}; and C{support}, the helpers.
"""

from hypothesis import HealthCheck, settings

# How long examples take says more of the machine than of us.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")
