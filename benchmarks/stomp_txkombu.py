"""
txkombu on STOMP, through its public API, with JSON or with bodies of bytes.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.amqp_txkombu import MODES, TRANSIENT
from benchmarks.job import HOST, USER, WINDOW, Job
from benchmarks.report import Stopwatch
from benchmarks.window import Window
from txkombu import BrokerConnection, Consumer, Message, Producer, Queue
from txkombu.core.channel import Channel


async def publish_bytes(job: Job, channel: Channel) -> None:
    """Publish bytes with receipts, 200 in flight."""
    producer = Producer(channel, TRANSIENT, routing_key=job.queue)
    bodies = job.bodies()

    def publish(number: int) -> Deferred[None]:
        return producer.publish(
            bodies[number],
            content_type="application/json",
            content_encoding="utf-8",
        )

    watch = Stopwatch()
    await Window(job.messages, publish).run()
    watch.report(job.messages)


async def consume_bytes(job: Job, channel: Channel) -> None:
    """Consume without decoding, and ack each message in its callback."""
    left = job.messages
    done: Deferred[None] = Deferred()

    def handle(message: Message) -> None:
        nonlocal left
        message.ack()
        left -= 1
        if not left:
            done.callback(None)

    queue = Queue(job.queue)
    consumer = Consumer(
        channel, queue, auto_declare=False, prefetch_count=WINDOW, on_message=handle
    )
    watch = Stopwatch()
    await consumer.consume()
    await done
    watch.report(job.messages)


ALL = {**MODES, "confirm-bytes": publish_bytes, "consume-bytes": consume_bytes}


async def main(reactor: object) -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    job = job._replace(queue=job.queue.rpartition("/")[2])
    connection = BrokerConnection(f"stomp://{USER}:{USER}@{HOST}:{job.port}")
    await ALL[job.mode](job, await connection.channel())
    await connection.close()


if __name__ == "__main__":
    react(main)
