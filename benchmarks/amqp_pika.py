"""
Pika's BlockingConnection, which waits for each confirm.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pika

from benchmarks.job import HOST, PROPERTIES, WINDOW, Job
from benchmarks.report import Stopwatch


def publish(job: Job, channel: Any) -> None:
    """Publish without confirms; the answer to a last request shows that all arrived."""
    bodies = job.bodies()
    watch = Stopwatch()
    for body in bodies:
        channel.basic_publish("", job.queue, body, _properties())
    channel.queue_declare(job.queue, passive=True)
    watch.report(job.messages)


def confirm(job: Job, channel: Any) -> None:
    """Publish with confirms, one by one."""
    channel.confirm_delivery()
    bodies = job.bodies()
    watch = Stopwatch()
    for body in bodies:
        channel.basic_publish("", job.queue, body, _properties())
    watch.report(job.messages)


def consume(job: Job, channel: Any) -> None:
    """Consume, and ack each message in its callback."""
    left = job.messages

    def handle(channel: Any, method: Any, properties: object, body: bytes) -> None:
        nonlocal left
        channel.basic_ack(method.delivery_tag)
        left -= 1
        if not left:
            channel.stop_consuming()

    channel.basic_qos(prefetch_count=WINDOW)
    watch = Stopwatch()
    channel.basic_consume(job.queue, handle)
    channel.start_consuming()
    watch.report(job.messages)


def request(job: Job, channel: Any) -> None:
    """Publish, receive and ack messages one by one."""
    received = 0

    def handle(channel: Any, method: Any, properties: object, body: bytes) -> None:
        nonlocal received
        channel.basic_ack(method.delivery_tag)
        received += 1

    channel.basic_qos(prefetch_count=WINDOW)
    channel.basic_consume(job.queue, handle)
    seconds = []
    bodies = job.bodies()
    watch = Stopwatch()
    for number, body in enumerate(bodies):
        began = perf_counter()
        channel.basic_publish("", job.queue, body, _properties())
        while received <= number:
            channel.connection.process_data_events(time_limit=None)
        seconds.append(perf_counter() - began)
    watch.report(job.messages, seconds)


def _properties() -> pika.BasicProperties:
    return pika.BasicProperties(headers={}, **PROPERTIES)


MODES = {"publish": publish, "confirm": confirm, "consume": consume, "request": request}


def main() -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    connection = pika.BlockingConnection(pika.ConnectionParameters(HOST, job.port))
    MODES[job.mode](job, connection.channel())
    connection.close()


if __name__ == "__main__":
    main()
