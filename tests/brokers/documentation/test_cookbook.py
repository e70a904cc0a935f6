"""The recipes of the cookbook that need a real broker, and some that do not, on one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.internet import reactor

from tests.documentation.cookbook import test_jobs as jobs
from tests.documentation.cookbook.recipe import RecipeCase
from tests.support.activemq import activemq
from tests.support.certificates import Authority
from tests.support.processes import run_python
from tests.support.rabbitmq import HOST, TLS_HOST, free_ports, rabbitmq
from txkombu import BrokerConnection, Exchange, Producer, Queue
from txkombu.exceptions import AccessRefused, ConnectError, Outcome


class OnRabbitMQ(RecipeCase):
    """
    A recipe on RabbitMQ.

    @cvar left: the names of the queues that it leaves behind.
    @cvar exchanges: the names of its exchanges.
    """

    left: Sequence[str] = ()
    exchanges: Sequence[str] = ()

    def setUp(self) -> None:
        self.broker = rabbitmq().url
        self.addCleanup(self.delete)
        super().setUp()

    async def delete(self) -> None:
        """Delete what the recipe has left."""
        async with BrokerConnection(rabbitmq().url) as connection:
            for name in self.left:
                await Queue(name)(connection).delete()
            for name in self.exchanges:
                await Exchange(name)(connection).delete()


class PriorityTests(OnRabbitMQ, jobs.PriorityTests):
    """priority.rst"""

    left = ("renderings",)


class DelayedTests(OnRabbitMQ, jobs.DelayedTests):
    """delayed-jobs.rst"""

    left = ("jobs", "jobs.in.0.05")


class QuorumTests(OnRabbitMQ, jobs.QuorumTests):
    """quorum-queues.rst"""

    left = ("payments", "payments.dead")
    exchanges = ("dead",)


class RestrictedTests(OnRabbitMQ, jobs.RestrictedTests):
    """locked-down.rst, with the rights that it names"""

    left = ("store.orders", "store.parked")
    exchanges = ("store",)

    def setUp(self) -> None:
        super().setUp()
        broker = rabbitmq()
        broker.add_user("shop", "secret")
        self.addCleanup(broker.delete_user, "shop")
        [command] = re.findall(
            r"rabbitmqctl set_permissions shop (.+)", self.text_of_page()
        )
        self.rights = re.findall("'(.*?)'", command)
        self.assertEqual(len(self.rights), 3)
        broker.permit("shop", "/", *self.rights)

    async def test_restricted(self) -> None:
        """
        It waits for the administrator, works, and parks what fails; without the right
        to the default exchange its publish there is refused.
        """
        await super().test_restricted()
        rights = [each.replace(r"|amq\.default", "") for each in self.rights]
        self.assertNotEqual(rights, self.rights)
        rabbitmq().permit("shop", "/", *rights)
        async with BrokerConnection(self.own_broker) as connection:
            with self.assertRaises(AccessRefused) as caught:
                await Producer(connection).publish("x", "store.orders")
        self.assertIs(caught.exception.outcome, Outcome.REFUSED)

    @property
    def own_broker(self) -> str:
        return self.broker.replace("guest:guest", "shop:secret")


class ShardTests(OnRabbitMQ, jobs.ShardTests):
    """ordered-shards.rst"""

    left = ("ledger", *(f"customers.{number}" for number in range(4)))
    exchanges = ("customers",)

    async def test_order(self) -> None:
        """Each customer has one shard, and is served in order there."""
        shards = self.load("shards")
        service = self.run_tac("shards.tac")["service"]
        self.start(service)
        screen = StringIO()
        with redirect_stdout(screen):
            async with BrokerConnection(self.broker) as connection:
                producer = Producer(connection)
                for number in range(3):
                    for customer in range(20):
                        await shards.publish(producer, customer, {"n": number})
            await self.until(
                lambda: screen.getvalue().count("\n") == 60, "all were handled"
            )
        seen: dict[str, list[tuple[str, int]]] = {}
        for line in screen.getvalue().splitlines():
            shard, _, event = line.partition(": ")
            found = json.loads(event.replace("'", '"'))
            seen.setdefault(found["customer"], []).append((shard, found["n"]))
        for events in seen.values():
            self.assertEqual([number for _, number in events], [0, 1, 2])
            self.assertEqual(len({shard for shard, _ in events}), 1)
        used = {events[0][0] for events in seen.values()}
        self.assertGreater(len(used), 1)


class StreamTests(OnRabbitMQ):
    """streams.rst"""

    page = "streams.rst"
    left = ("events",)

    async def read(self, until: int) -> str:
        """Run a reader until it has noted this offset; return what it printed."""
        events = self.load("events")
        screen = StringIO()
        place = Path("place.json")
        with redirect_stdout(screen):
            connection = BrokerConnection(self.broker)
            async with connection, events.reader(connection):
                await self.until(
                    lambda: place.exists() and place.read_text() == str(until),
                    f"the offset was {until}",
                )
        return screen.getvalue().replace("\n", ", ")

    async def test_goes_on(self) -> None:
        """A reader goes on where the last one was; without that, at the first."""
        events = self.load("events")
        async with BrokerConnection(self.broker) as connection:
            await events.write(connection, range(3))
            self.assertEqual(await self.read(3), "event 0, event 1, event 2, ")
            await events.write(connection, range(3, 5))
        self.assertEqual(await self.read(5), "event 3, event 4, ")
        Path("place.json").unlink()
        self.assertEqual((await self.read(5)).count("event"), 5)


class TLSTests(OnRabbitMQ):
    """tls.rst"""

    page = "tls.rst"
    left = ("secrets",)

    async def published(self, url: str, **environment: str) -> None:
        """Run the program."""
        os.environ.update(environment, TXKOMBU_BROKER=url)
        screen = StringIO()
        with redirect_stdout(screen):
            await self.load("secure").main(reactor)
        self.assertEqual(screen.getvalue(), "published, encrypted\n")

    async def test_secure(self) -> None:
        """
        It logs in by password and by certificate, and refuses a broker whose
        certificate another authority has signed.
        """
        broker = rabbitmq()
        place = f"{TLS_HOST}:{broker.tls_port}/"
        ca = broker.authority.cacertfile
        await self.published(f"amqps://guest:guest@{place}", CA=ca)
        external = f"amqps://{place}?auth_mechanism=EXTERNAL"
        certificate = broker.authority.sign("guest")
        await self.published(external, CA=ca, CERT=certificate)
        other = Authority(self.home)
        with self.assertRaises(ConnectError):
            await self.published(external, CA=other.cacertfile)


class AsyncioTests(OnRabbitMQ):
    """asyncio.rst"""

    page = "asyncio.rst"
    left = ("greetings",)

    def test_in_loop(self) -> None:
        """A program of asyncio publishes and gets, and comes to its end."""
        done = run_python("loop.py", cwd=self.home)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "got hello\n")


class ClusterTests(OnRabbitMQ):
    """clusters.rst"""

    page = "clusters.rst"
    left = ("orders.safe",)

    async def test_failover(self) -> None:
        """A node that is away is passed over."""
        [nobody] = free_ports(1)
        os.environ["TXKOMBU_BROKER"] = (
            f"amqp://guest:guest@{HOST}:{nobody};{self.broker}"
        )
        screen = StringIO()
        with redirect_stdout(screen):
            await self.load("failover").main(reactor)
        self.assertIn(f":{rabbitmq().amqp_port}/", screen.getvalue())
        async with BrokerConnection(self.broker) as connection:
            declared = await Queue("orders.safe")(connection).queue_declare(
                passive=True
            )
        self.assertEqual(declared.message_count, 10)


class ActiveMQTests(RecipeCase):
    """activemq.rst"""

    page = "activemq.rst"

    async def test_prices(self) -> None:
        """It prints the price of the stock alone."""
        os.environ["TXKOMBU_BROKER"] = activemq().stomp_url
        screen = StringIO()
        with redirect_stdout(screen):
            await self.load("prices").main(reactor)
        self.assertEqual(screen.getvalue(), "usd.stock 17\n")
