"""C{txkombu plan} and C{txkombu apply}: what a configuration file needs at a broker."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import ClassVar

import attrs

from ..configuration import Plan
from ..connection import BrokerConnection
from ..entity import Exchange, Queue
from ..exceptions import AccessRefused, NotFound, PreconditionFailed, ResourceLocked
from .command import DONE, FAILED, counted
from .options import BrokerOptions
from .streams import Streams


class PlanOptions(BrokerOptions):
    """
    Which file.

    @ivar plan: what it describes.
    """

    synopsis = "FILE [options]"
    longdesc = (
        "Compares the exchanges and queues of a configuration file, and those that its "
        "handlers name, with those of the broker, and changes nothing.  The exit code "
        "is 1 if one differs."
    )
    example = "plan service.yaml"

    def parseArgs(self, file: str) -> None:  # type: ignore[override]  # Twisted passes what was given
        """
        Take the file.

        @param file: its path.
        """
        self.file = file

    def postOptions(self) -> None:
        """Read the file."""
        self.plan = self.plan_of(self.file, once=True)
        self.use(self.plan.connection)


class ApplyOptions(PlanOptions):
    """Which file."""

    longdesc = (
        "Declares the exchanges, queues and bindings of a configuration file, and of "
        "its handlers, unless one of them exists with other arguments: then nothing is "
        "changed, and the exit code is 1."
    )
    example: ClassVar[str] = "apply service.yaml"


class Fate(Enum):
    """What a broker has of an exchange or a queue."""

    EXISTS = "exists"
    MISSING = "is missing"
    DIFFERS = "differs"
    HIDDEN = "may not be looked at"


@attrs.frozen
class Finding:
    """
    An exchange or a queue, and what the broker has of it.

    @ivar entity: the exchange or queue.
    @ivar fate: what the broker has.
    @ivar reason: what the broker said, if it refused something.
    """

    entity: Exchange | Queue
    fate: Fate
    reason: str = ""

    def __str__(self) -> str:
        kind = "queue" if isinstance(self.entity, Queue) else "exchange"
        text = f"{kind} {self.entity.name!r} {self.fate.value}"
        return f"{text}: {self.reason}" if self.reason else text


async def plan(options: PlanOptions, streams: Streams) -> int:
    """Tell what the broker has, lacks, and has otherwise."""
    found = await _survey(options.connection, options.plan)
    await _tell(found, streams)
    return _code(found)


async def apply(options: ApplyOptions, streams: Streams) -> int:
    """Declare what is missing, and all bindings, unless something differs."""
    connection = options.connection
    found = await _survey(connection, options.plan)
    if _code(found) != DONE:
        await _tell(found, streams)
        streams.tell("nothing was changed")
        return FAILED
    for each in found:
        await each.entity(connection).declare()
    missing = [each for each in found if each.fate is Fate.MISSING]
    for each in missing:
        await streams.write(f"{each}: declared\n".encode())
    there = len(found) - len(missing)
    streams.tell(f"{counted(len(missing), 'declaration')}; {there:,} existed")
    return DONE


async def _tell(found: Iterable[Finding], streams: Streams) -> None:
    for each in found:
        await streams.write(f"{each}\n".encode())


def _code(found: Iterable[Finding]) -> int:
    return FAILED if any(each.fate is Fate.DIFFERS for each in found) else DONE


async def _survey(connection: BrokerConnection, plan: Plan) -> list[Finding]:
    return [await _find(connection, each) for each in _entities(plan)]


def _entities(plan: Plan) -> list[Exchange | Queue]:
    """Return what is declared, each once, exchanges before the queues bound to them."""
    queues = {each.name: each for each in plan.declared if not each.no_declare}
    exchanges = dict(plan.exchanges)
    for queue in queues.values():
        for exchange in (queue.exchange, *(each.exchange for each in queue.bindings)):
            if not exchange.by_name:
                exchanges.setdefault(exchange.name, exchange)
    declared = [
        each
        for each in exchanges.values()
        if not (each.no_declare or each.is_predeclared)
    ]
    return [*declared, *queues.values()]


async def _find(connection: BrokerConnection, entity: Exchange | Queue) -> Finding:
    """
    Look whether there is one of this name; only then declare it, which changes nothing:
    the broker names the argument that differs.
    """
    try:
        await _declare(connection, entity, True)
        if not (isinstance(entity, Exchange) and entity.passive):
            await _declare(connection, entity, False)
    except NotFound:
        return Finding(entity, Fate.MISSING)
    except PreconditionFailed as error:
        return Finding(entity, Fate.DIFFERS, str(error))
    except (AccessRefused, ResourceLocked) as error:
        return Finding(entity, Fate.HIDDEN, str(error))
    return Finding(entity, Fate.EXISTS)


async def _declare(
    connection: BrokerConnection, entity: Exchange | Queue, passive: bool
) -> None:
    if isinstance(entity, Queue):
        await entity(connection).queue_declare(passive)
    else:
        await entity(connection).declare(passive)
