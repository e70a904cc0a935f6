"""
Record how RabbitMQ behaves in the scenarios: C{python -m tests.scenarios.record}.

The command writes C{tests/scenarios/expected.json}, over the native AMQP transport.
Words after the command select the rows whose titles contain them; their outcomes are
printed and not written.  A URL among the words is used instead of a broker that the
command starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react

from tests.scenarios import Row, all_rows, store
from tests.scenarios.parties import SessionParty
from tests.scenarios.steps import Scenario
from tests.support.rabbitmq import rabbitmq
from txkombu.interfaces import ISession, ISessionListener
from txkombu.transport import transport_for
from txkombu.url import parse_url

Connect = Callable[[ISessionListener], Deferred[ISession]]


def connector(url: str, clock: IReactorTime) -> Connect:
    """Return the function that opens sessions with the broker at a URL."""
    parameters = parse_url(url)
    transport = transport_for(parameters.transport)
    return lambda listener: transport.connect(parameters, None, clock, listener)


@inlineCallbacks
def version_at(clock: Any, url: str) -> Generator[Deferred[Any], Any, str]:
    """Return the name and version that the broker reports."""
    connect = connector(url, clock)
    session: ISession = yield connect(SessionParty(clock, connect))
    yield session.close()
    return f"{session.product} {session.version}"


@inlineCallbacks
def record(
    clock: Any, rows: list[Row], url: str
) -> Generator[Deferred[Any], Any, dict[str, list[str]]]:
    """
    Run rows on a real broker, one after the other.

    @return: fires with their transcripts, by title.
    """
    outcomes: dict[str, list[str]] = {}
    for row in rows:
        scenario = Scenario(row, clock, connector(url, clock))
        try:
            outcomes[row.title] = yield scenario.run()
        except Exception as error:
            raise RuntimeError(f"this row failed: {row.title}") from error
    return outcomes


@inlineCallbacks
def main(reactor: Any, *words: str) -> Generator[Deferred[Any], Any, None]:
    """Run the command."""
    urls = [word for word in words if "://" in word]
    chosen = [word for word in words if "://" not in word]
    url = urls[0] if urls else rabbitmq().url
    if chosen:
        rows = [row for row in all_rows() if any(word in row.title for word in chosen)]
        outcomes = yield record(reactor, rows, url)
        for title, lines in outcomes.items():
            print(f"= {title}", *lines, sep="\n    ")
        return
    outcomes = yield record(reactor, all_rows(), url)
    version = yield version_at(reactor, url)
    store(version, outcomes)
    print(f"recorded {len(outcomes)} rows from {version}")


if __name__ == "__main__":
    react(main, sys.argv[1:])
