"""Handlers that are written for asyncio, on Twisted's asyncio reactor."""

from __future__ import annotations

from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from tests.support.processes import run_python

PROGRAM = """
import asyncio
from twisted.internet import asyncioreactor
asyncioreactor.install()
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from txkombu import BrokerConnection, Consumer, Producer, Queue
from txkombu.rpc import RPCClient, RPCServer
from txkombu.service import ConsumerService, consumer


async def works(body, message):
    await asyncio.wait_for(asyncio.sleep(0.01), 5)
    await deferLater(reactor, 0.01)
    print("worked", await message.ack())


def task(body, message):
    async def work():
        await asyncio.sleep(0.01)
        message.ack()
        print("worked in a task")
    return asyncio.ensure_future(work())


def in_executor(body, message):
    loop = asyncio.get_running_loop()
    return loop.run_in_executor(None, print, "worked in a thread")


async def exits(body, message):
    await asyncio.sleep(0.01)
    raise SystemExit(3)


async def first(body, message):
    await asyncio.sleep(0.01)
    print("first")


async def replies(body, message):
    await asyncio.sleep(0.01)
    await deferLater(reactor, 0.01)
    return body


async def tell(message, failure):
    await asyncio.sleep(0.01)
    print("failed:", repr(failure.value))
    message.ack()


async def around(handle, body, message):
    async with asyncio.Lock():
        await handle(body, message)
    handled.append(message)


@consumer(Queue("hosted"), middleware=[around])
async def hosted(body, message):
    await asyncio.sleep(0.01)
    print("worked in a function")


handled = []


async def main(given):
    global reactor
    reactor = given
    handlers = [[works], [task], [in_executor], [exits], [first, works]]
    async with BrokerConnection("memory://asyncio") as connection:
        for number, callbacks in enumerate(handlers):
            queue = Queue(f"q{number}")
            consumer = Consumer(
                connection, queue, callbacks=callbacks, on_failure=tell
            )
            await consumer.consume()
            await Producer(connection).publish("job", routing_key=queue.name)
            await connection.drain_events(timeout=5)
            print("running", consumer.running)
        async with RPCServer(connection, Queue("rpc"), replies):
            print(await RPCClient(connection).call("rpc", "called"))
        service = ConsumerService("memory://asyncio", hosted)
        service.startService()
        await service.when_started()
        await Producer(connection).publish("job", routing_key="hosted")
        while not handled:
            await deferLater(reactor, 0.01)
        await service.stopService()
        print("settled", handled[0].acknowledged)

react(main)
"""

PRINTED = """
worked Settlement.SENT
running 0
worked in a task
running 0
worked in a thread
running 0
failed: SystemExit(3)
running 0
first
worked Settlement.SENT
running 0
called
worked in a function
settled True
"""


class AsyncioReactorTests(SynchronousTestCase):
    """A program on the asyncio reactor."""

    def test_handlers(self) -> None:
        """Coroutines, tasks and futures of asyncio are awaited, and Deferreds, too."""
        done = run_python("-c", dedent(PROGRAM), cwd=".")
        self.assertEqual(done.stdout, PRINTED.lstrip(), done.stderr)
        self.assertEqual(done.returncode, 0, done.stderr)
