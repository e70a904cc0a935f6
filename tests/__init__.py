"""
The test suite.

A folder has the name of the library's package that it tests.  Other folders are
C{brokers}, all tests that need RabbitMQ or ActiveMQ; C{further_brokers}, those that
need RabbitMQ 4 or a cluster; C{contract} and C{conformance}, the suites that every
transport has to pass; C{scenarios}, the answers recorded from RabbitMQ;
C{documentation} and C{packaging}; C{soak}, the long runs of C{./run soak}; and
C{support}, the helpers.
"""

from hypothesis import HealthCheck, settings

# The time that examples take says more about the machine than about the library.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")
