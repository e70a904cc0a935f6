"""
The transactional outbox: a program's change of its database, and the message about
that, both happen, or neither does.

An order and the message about it are written in one transaction.  C{Relay} publishes
the messages, and deletes each when the broker has confirmed it.  If it ends in between,
the message is published again, with the same C{message_id}; C{Shipping} notes these ids
in the transaction that does its work, and so does it once.
"""

from __future__ import annotations

from sqlite3 import Cursor
from typing import Any

from twisted.application.internet import TimerService
from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txkombu import BrokerConnection, Channel, Consumer, Message, Producer, Queue
from txkombu.exceptions import KombuError
from txkombu.policy import park, retry

ORDERS = Queue("orders", queue_type="quorum")
SECONDS = 1.0
"""How often the relay looks for messages."""
SCHEMA = """
create table if not exists orders (id integer primary key, item text);
create table if not exists outbox (id integer primary key autoincrement, item text);
create table if not exists shipped (message_id text primary key, item text);
"""


def open_database(path: str) -> ConnectionPool:
    """
    Open the database, and make its tables if there are none.

    SQLite has one writer, so one thread is enough.

    @param path: its file.
    """
    return ConnectionPool(
        "sqlite3",
        path,
        check_same_thread=False,
        cp_min=1,
        cp_max=1,
        cp_noisy=False,
        cp_openfun=lambda connection: connection.executescript(SCHEMA),
    )


def place_order(transaction: Cursor, item: str) -> None:
    """Write an order and its message; call this by C{pool.runInteraction}."""
    transaction.execute("insert into orders (item) values (?)", (item,))
    transaction.execute("insert into outbox (item) values (?)", (item,))


class Relay(TimerService):
    """Publishes what is in the outbox, in order, once in a while."""

    log = Logger()

    def __init__(self, pool: ConnectionPool, producer: Producer) -> None:
        super().__init__(SECONDS, self.relay)
        self.pool = pool
        self.producer = producer

    async def _relay(self) -> None:
        rows: Any = await self.pool.runQuery("select id, item from outbox order by id")
        for number, item in rows:
            await self.producer.publish(
                {"item": item}, message_id=f"order-{number}", declare=[ORDERS]
            )
            await self.pool.runOperation("delete from outbox where id = ?", (number,))

    def relay(self) -> Deferred[None]:
        """Publish what is there; what fails now is tried again the next time."""
        relaying = Deferred.fromCoroutine(self._relay())
        return relaying.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(KombuError):
            self.log.warn("The outbox waits: {error}", error=str(failure.value))
        else:
            self.log.failure("The outbox cannot be read", failure)


class Shipping(Consumer):
    """Ships each order once, however often its message comes."""

    queues = ORDERS
    on_failure = retry(then=park("orders.parked"))

    def __init__(
        self, channel: Channel | BrokerConnection, pool: ConnectionPool
    ) -> None:
        super().__init__(channel)
        self.pool = pool

    async def receive(self, order: Any, message: Message) -> None:
        """Ship an order; acknowledge it when the transaction is over."""
        number = message.properties["message_id"]
        await self.pool.runInteraction(ship, number, order["item"])
        message.ack()


def ship(transaction: Cursor, message_id: str, item: str) -> None:
    """Note that an order was shipped, if that is new."""
    known = "insert or ignore into shipped (message_id, item) values (?, ?)"
    transaction.execute(known, (message_id, item))
    if transaction.rowcount:
        print(f"shipped {item}", flush=True)
