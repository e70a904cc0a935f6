"""
txkombu on AMQP, through its public API, with JSON.
"""

from __future__ import annotations

from time import perf_counter

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.job import HOST, WINDOW, Job
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
    await Window(job.messages, lambda number: producer.publish(payloads[number])).run()
    watch.report(job.messages)


async def consume(job: Job, channel: Channel) -> None:
    """Consume, and ack each message in its callback."""
    left = job.messages
    done: Deferred[None] = Deferred()

    def handle(payload: dict[str, object], message: Message) -> None:
        nonlocal left
        message.ack()
        left -= 1
        if not left:
            done.callback(None)

    consumer = _consumer(job, channel)
    consumer.register_callback(handle)
    watch = Stopwatch()
    await consumer.consume()
    await done
    watch.report(job.messages)


async def request(job: Job, channel: Channel) -> None:
    """Publish, receive and ack messages one by one."""
    producer = Producer(channel, TRANSIENT, routing_key=job.queue)
    received: Deferred[None] = Deferred()

    def handle(payload: dict[str, object], message: Message) -> None:
        message.ack()
        received.callback(None)

    consumer = _consumer(job, channel)
    consumer.register_callback(handle)
    await consumer.consume()
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


def _consumer(job: Job, channel: Channel) -> Consumer:
    return Consumer(
        channel, Queue(job.queue), auto_declare=False, prefetch_count=WINDOW
    )


MODES = {"publish": publish, "confirm": confirm, "consume": consume, "request": request}


async def main(reactor: object, scheme: str = "amqp") -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    connection = BrokerConnection(f"{scheme}://{HOST}:{job.port}")
    await MODES[job.mode](job, await connection.channel())
    await connection.close()


if __name__ == "__main__":
    react(main)
