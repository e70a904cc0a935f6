"""
Pika's adapter for Twisted, with bodies of bytes.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pika
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater, react

from benchmarks.job import FEW, HOST, PROPERTIES, WINDOW, Job
from benchmarks.report import Stopwatch
from benchmarks.window import Window


async def publish(job: Job, channel: Any, reactor: Any) -> None:
    """
    Publish without confirms; the answer to a last request shows that all arrived.

    The reactor runs after each 200 messages; else all would wait in memory.
    """
    bodies = job.bodies()
    watch = Stopwatch()
    for number, body in enumerate(bodies):
        await channel.basic_publish("", job.queue, body, _properties())
        if number % WINDOW == WINDOW - 1:
            await deferLater(reactor, 0)
    await channel.queue_declare(job.queue, passive=True)
    watch.report(job.messages)


async def confirm(job: Job, channel: Any, reactor: Any) -> None:
    """Publish with confirms, 200 in flight."""
    await channel.confirm_delivery()
    bodies = job.bodies()

    def send(number: int) -> Any:
        return channel.basic_publish("", job.queue, bodies[number], _properties())

    watch = Stopwatch()
    await Window(job, send).run()
    watch.report(job.messages)


async def consume(job: Job, channel: Any, reactor: Any) -> None:
    """Consume from the queue that the adapter makes, and ack each message."""
    await channel.basic_qos(prefetch_count=WINDOW)
    watch = Stopwatch()
    queue, _ = await channel.basic_consume(job.queue)
    for _ in range(job.messages):
        message = await queue.get()
        channel.basic_ack(message.method.delivery_tag)
    watch.report(job.messages)


async def consume_many(job: Job, channel: Any, reactor: Any) -> None:
    """Consume by many consumers of one queue; starting them is measured, too."""
    await channel.basic_qos(prefetch_count=FEW)
    left = job.messages
    done: Deferred[None] = Deferred()

    async def read(queue: Any) -> None:
        nonlocal left
        while True:
            message = await queue.get()
            channel.basic_ack(message.method.delivery_tag)
            left -= 1
            if not left:
                done.callback(None)

    watch = Stopwatch()
    for _ in range(job.consumers):
        queue, _ = await channel.basic_consume(job.queue)
        ensureDeferred(read(queue)).addErrback(lambda closed: None)
    await done
    watch.report(job.messages)


async def request(job: Job, channel: Any, reactor: Any) -> None:
    """Publish, receive and ack messages one by one."""
    await channel.basic_qos(prefetch_count=WINDOW)
    queue, _ = await channel.basic_consume(job.queue)
    seconds = []
    bodies = job.bodies()
    watch = Stopwatch()
    for body in bodies:
        began = perf_counter()
        channel.basic_publish("", job.queue, body, _properties())
        message = await queue.get()
        channel.basic_ack(message.method.delivery_tag)
        seconds.append(perf_counter() - began)
    watch.report(job.messages, seconds)


def _properties() -> pika.BasicProperties:
    return pika.BasicProperties(headers={}, **PROPERTIES)


MODES = {
    "publish": publish,
    "confirm": confirm,
    "consume": consume,
    "consume-many": consume_many,
    "request": request,
}


async def main(reactor: Any) -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    protocol = TwistedProtocolConnection(pika.ConnectionParameters())
    endpoint = TCP4ClientEndpoint(reactor, HOST, job.port)
    connection: Any = await connectProtocol(endpoint, protocol)
    await connection.ready
    await MODES[job.mode](job, await connection.channel(), reactor)
    await connection.close()


if __name__ == "__main__":
    react(main)
