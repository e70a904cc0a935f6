"""
aio-pika, on asyncio, with bodies of bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import aio_pika

from benchmarks.job import HOST, PROPERTIES, USER, WINDOW, Job
from benchmarks.report import Stopwatch


async def publish(job: Job, connection: Any) -> None:
    """Publish without confirms; the answer to a last request shows that all arrived."""
    channel = await connection.channel(publisher_confirms=False)
    bodies = job.bodies()
    watch = Stopwatch()
    for body in bodies:
        await channel.default_exchange.publish(_message(body), job.queue)
    await channel.declare_queue(job.queue, passive=True)
    watch.report(job.messages)


async def confirm(job: Job, connection: Any) -> None:
    """Publish with confirms, 200 in flight."""
    channel = await connection.channel()
    bodies = iter(job.bodies())

    async def send(bodies: Iterator[bytes]) -> None:
        for body in bodies:
            await channel.default_exchange.publish(_message(body), job.queue)

    watch = Stopwatch()
    await asyncio.gather(*(send(bodies) for _ in range(job.window)))
    watch.report(job.messages)


async def consume(job: Job, connection: Any) -> None:
    """Consume, and ack each message in its callback."""
    queue = await _queue(job, await connection.channel())
    left = job.messages
    done = asyncio.Event()

    async def handle(message: Any) -> None:
        nonlocal left
        await message.ack()
        left -= 1
        if not left:
            done.set()

    watch = Stopwatch()
    await queue.consume(handle)
    await done.wait()
    watch.report(job.messages)


async def request(job: Job, connection: Any) -> None:
    """Publish, receive and ack messages one by one."""
    channel = await connection.channel(publisher_confirms=False)
    received = asyncio.Event()

    async def handle(message: Any) -> None:
        await message.ack()
        received.set()

    await (await _queue(job, channel)).consume(handle)
    seconds = []
    bodies = job.bodies()
    watch = Stopwatch()
    for body in bodies:
        received.clear()
        began = perf_counter()
        await channel.default_exchange.publish(_message(body), job.queue)
        await received.wait()
        seconds.append(perf_counter() - began)
    watch.report(job.messages, seconds)


async def _queue(job: Job, channel: Any) -> Any:
    await channel.set_qos(prefetch_count=WINDOW)
    return await channel.get_queue(job.queue, ensure=False)


def _message(body: bytes) -> aio_pika.Message:
    properties: dict[str, Any] = PROPERTIES
    return aio_pika.Message(body, headers={}, **properties)


MODES = {"publish": publish, "confirm": confirm, "consume": consume, "request": request}


async def main() -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    connection = await aio_pika.connect(f"amqp://{USER}:{USER}@{HOST}:{job.port}/")
    async with connection:
        await MODES[job.mode](job, connection)


if __name__ == "__main__":
    asyncio.run(main())
