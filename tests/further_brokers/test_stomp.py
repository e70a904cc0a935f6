"""
The conformance suite, the contract and the recipes on RabbitMQ 4, over STOMP.
"""

from __future__ import annotations

from tests.brokers.stomp.harness import ConformingOnRabbitMQ, StompOnRabbitMQ
from tests.brokers.stomp.rabbitmq import test_recipes as recipes
from tests.conformance import suite as conformance_suite
from tests.contract import suite as contract_suite
from tests.further_brokers import roots
from tests.support.rabbitmq import RabbitMQ


class Conforming(ConformingOnRabbitMQ):
    """Connects to the RabbitMQ of a suite."""

    suite: str

    def broker(self) -> RabbitMQ:
        return roots.rabbitmq_of(self.suite)


class Contracting(StompOnRabbitMQ):
    """Connects the contract's tests to the RabbitMQ of a suite."""

    suite: str

    def broker(self) -> RabbitMQ:
        return roots.rabbitmq_of(self.suite)


class Recipes(recipes.Case):
    """Connects the tests of the recipes to the RabbitMQ of a suite."""

    suite: str
    permits_transient = False  # see roots.DENYING

    def node(self) -> RabbitMQ:
        return roots.rabbitmq_of(self.suite)


_RECIPES = (recipes.DeclareTests, recipes.BindTests, recipes.DeleteTests)

for suite in roots.SUITES:
    told = {"suite": suite, "__module__": __name__}
    name = suite.title()
    globals().update(conformance_suite.cases(type(name, (Conforming,), told), __name__))
    globals().update(contract_suite.cases(type(name, (Contracting,), told), __name__))
    for case in _RECIPES:
        title = f"{name}{case.__name__}"
        globals()[title] = type(title, (Recipes, case), told)
