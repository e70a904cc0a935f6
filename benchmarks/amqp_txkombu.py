"""
txkombu on AMQP, through its public API, with JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from benchmarks.job import FEW, HOST, WINDOW, Job
from benchmarks.report import Stopwatch
from benchmarks.window import Window
from txkombu import BrokerConnection, Consumer, Exchange, Message, Producer, Queue
from txkombu.core.channel import Channel

TRANSIENT = Exchange("", delivery_mode="transient")


async def publish(job: Job, channel: Channel) -> None:
    """Publish without confirms; the answer to a last request shows that all arrived."""
    producer = Producer(channel, TRANSIENT, routing_key=job.queue)
    payloads = job.payloads()
    watch = Stopwatch()
    for payload in payloads:
        await producer.publish(payload, confirm=False)
    await Queue(job.queue)(channel).queue_declare(passive=True)
    watch.report(job.messages)


async def confirm(job: Job, channel: Channel) -> None:
    """Publish with confirms, 200 in flight."""
    producer = Producer(channel, TRANSIENT, routing_key=job.queue)
    payloads = job.payloads()
    watch = Stopwatch()
    await Window(job, lambda number: producer.publish(payloads[number])).run()
    watch.report(job.messages)


async def consume(job: Job, channel: Channel) -> None:
    """Consume, and ack each message in its callback."""
    done, handle = _acker(job.messages)
    await _consume(job, done, [_consumer(job, channel, callbacks=[handle])])


def _acker(left: int) -> tuple[Deferred[None], Callable[..., None]]:
    """Return what acks that many messages, and what fires then."""
    done: Deferred[None] = Deferred()

    def handle(payload: object, message: Message | None = None) -> None:
        nonlocal left
        (payload if message is None else message).ack()  # type: ignore[attr-defined]  # one of them is
        left -= 1
        if not left:
            done.callback(None)

    return done, handle


async def _consume(job: Job, done: Deferred[None], consumers: list[Consumer]) -> None:
    watch = Stopwatch()
    await gatherResults([consumer.consume() for consumer in consumers])
    await done
    watch.report(job.messages)


async def publish_bytes(job: Job, channel: Channel) -> None:
    """Publish bytes without confirms."""
    publish = _publisher_of_bytes(job, channel, confirm=False)
    watch = Stopwatch()
    for number in range(job.messages):
        await publish(number)
    await Queue(job.queue)(channel).queue_declare(passive=True)
    watch.report(job.messages)


async def confirm_bytes(job: Job, channel: Channel) -> None:
    """Publish bytes with confirms, 200 in flight."""
    publish = _publisher_of_bytes(job, channel, confirm=True)
    watch = Stopwatch()
    await Window(job, publish).run()
    watch.report(job.messages)


def _publisher_of_bytes(
    job: Job, channel: Channel, confirm: bool
) -> Callable[[int], Deferred[None]]:
    producer = Producer(channel, TRANSIENT, routing_key=job.queue)
    bodies = job.bodies()

    def publish(number: int) -> Deferred[None]:
        return producer.publish(
            bodies[number],
            confirm=confirm,
            content_type="application/json",
            content_encoding="utf-8",
        )

    return publish


async def consume_bytes(job: Job, channel: Channel) -> None:
    """Consume without decoding, and ack each message in its callback."""
    done, handle = _acker(job.messages)
    await _consume(job, done, [_consumer(job, channel, on_message=handle)])


async def consume_many(job: Job, channel: Channel) -> None:
    """Consume by many consumers of one queue; starting them is measured, too."""
    done, handle = _acker(job.messages)
    options = {"callbacks": [handle], "prefetch_count": FEW}
    consumers = [_consumer(job, channel, **options) for _ in range(job.consumers)]
    await _consume(job, done, consumers)


async def request(job: Job, channel: Channel) -> None:
    """Publish, receive and ack messages one by one."""
    producer = Producer(channel, TRANSIENT, routing_key=job.queue)
    received: Deferred[None] = Deferred()

    def handle(payload: dict[str, object], message: Message) -> None:
        message.ack()
        received.callback(None)

    await _consumer(job, channel, callbacks=[handle]).consume()
    seconds = []
    payloads = job.payloads()
    watch = Stopwatch()
    for payload in payloads:
        received = Deferred()
        began = perf_counter()
        producer.publish(payload, confirm=False)
        await received
        seconds.append(perf_counter() - began)
    watch.report(job.messages, seconds)


def _consumer(job: Job, channel: Channel, **options: Any) -> Consumer:
    options = {"auto_declare": False, "prefetch_count": WINDOW, **options}
    return Consumer(channel, Queue(job.queue), **options)


MODES = {
    "publish": publish,
    "publish-bytes": publish_bytes,
    "confirm": confirm,
    "confirm-bytes": confirm_bytes,
    "consume": consume,
    "consume-bytes": consume_bytes,
    "consume-many": consume_many,
    "request": request,
}


async def main(reactor: object, scheme: str = "amqp") -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    connection = BrokerConnection(f"{scheme}://{HOST}:{job.port}")
    await MODES[job.mode](job, await connection.channel())
    await connection.close()


if __name__ == "__main__":
    react(main)
