"""
Kombu on py-amqp, with bodies of bytes.

With C{confirm_publish} it waits for each confirm.  C{confirm-window} uses py-amqp's
channel to have 200 messages in flight.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from kombu import Connection, Consumer, Producer, Queue

from benchmarks.job import HOST, PROPERTIES, USER, WINDOW, Job
from benchmarks.report import Stopwatch


def publish(job: Job, connection: Any) -> None:
    """Publish without confirms; the answer to a last request shows that all arrived."""
    channel = connection.channel()
    producer = Producer(channel)
    bodies = job.bodies()
    watch = Stopwatch()
    for body in bodies:
        producer.publish(body, routing_key=job.queue, headers={}, **PROPERTIES)
    channel.queue_declare(job.queue, passive=True)
    watch.report(job.messages)


def confirm(job: Job, connection: Any) -> None:
    """Publish with confirms, one by one."""
    producer = Producer(connection.channel())
    bodies = job.bodies()
    watch = Stopwatch()
    for body in bodies:
        producer.publish(body, routing_key=job.queue, headers={}, **PROPERTIES)
    watch.report(job.messages)


def confirm_window(job: Job, connection: Any) -> None:
    """Publish with confirms, 200 in flight, on py-amqp's channel."""
    channel = connection.channel()
    producer = Producer(channel)
    confirmed = 0

    def note(tag: int, multiple: bool) -> None:
        nonlocal confirmed
        confirmed = tag if multiple else confirmed + 1

    channel.confirm_select()
    channel.events["basic_ack"].add(note)
    bodies = job.bodies()
    watch = Stopwatch()
    for number, body in enumerate(bodies):
        while number - confirmed >= job.window:
            connection.drain_events()
        producer.publish(body, routing_key=job.queue, headers={}, **PROPERTIES)
    while confirmed < job.messages:
        connection.drain_events()
    watch.report(job.messages)


def consume(job: Job, connection: Any) -> None:
    """Consume, and ack each message in its callback."""
    received = 0

    def handle(message: Any) -> None:
        nonlocal received
        message.ack()
        received += 1

    consumer = _consumer(job, connection.channel(), handle)
    watch = Stopwatch()
    consumer.consume()
    while received < job.messages:
        connection.drain_events()
    watch.report(job.messages)


def request(job: Job, connection: Any) -> None:
    """Publish, receive and ack messages one by one."""
    channel = connection.channel()
    received = 0

    def handle(message: Any) -> None:
        nonlocal received
        message.ack()
        received += 1

    _consumer(job, channel, handle).consume()
    producer = Producer(channel)
    seconds = []
    bodies = job.bodies()
    watch = Stopwatch()
    for number, body in enumerate(bodies):
        began = perf_counter()
        producer.publish(body, routing_key=job.queue, headers={}, **PROPERTIES)
        while received <= number:
            connection.drain_events()
        seconds.append(perf_counter() - began)
    watch.report(job.messages, seconds)


def _consumer(job: Job, channel: Any, handle: Any) -> Any:
    queue = Queue(job.queue, no_declare=True)
    consumer = Consumer(channel, [queue], auto_declare=False, on_message=handle)
    consumer.qos(prefetch_count=WINDOW)
    return consumer


MODES = {
    "publish": publish,
    "confirm": confirm,
    "confirm-window": confirm_window,
    "consume": consume,
    "request": request,
}


def main() -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    options = {"confirm_publish": job.mode == "confirm"}
    url = f"amqp://{USER}:{USER}@{HOST}:{job.port}//"
    with Connection(url, transport_options=options) as connection:
        MODES[job.mode](job, connection)


if __name__ == "__main__":
    main()
