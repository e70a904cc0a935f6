"""
txAMQP, with bodies of bytes.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from pamqp import commands
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import deferLater, react
from txamqp.client import TwistedDelegate
from txamqp.content import Content
from txamqp.protocol import AMQClient
from txamqp.spec import Constant, Field

from benchmarks.job import HOST, PROPERTIES, USER, WINDOW, Job
from benchmarks.report import Stopwatch
from benchmarks.window import Window
from txkombu.transport.amqp.adapters.txamqp_spec import load, method_name

_KINDS = {"method": 1, "header": 2, "body": 3, "heartbeat": 8}


def specification() -> Any:
    """
    Return txkombu's specification with what txAMQP's codec and channels need besides:
    the types of frames, the properties of messages, and which method answers which.
    """
    spec = load()
    for name, value in _KINDS.items():
        spec.constants.add(Constant(spec, f"frame_{name}", value, None, []))
    properties = commands.Basic.Properties
    for index, name in enumerate(properties.attributes()):
        field = Field(name, index, properties.amqp_type(name), [])
        spec.classes.byname["basic"].fields.add(field)
    for klass in spec.classes:
        methods = klass.methods.byname
        for method in klass.methods:
            for each in method.command.valid_responses:
                response = methods[method_name(each).partition("_")[2]]
                response.response = True
                method.responses.append(response)
    return spec


class Delegate(TwistedDelegate):  # type: ignore[misc]  # it has no types
    """Match confirms, which txAMQP's own delegate does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, Deferred[None]] = {}

    def basic_ack(self, channel: object, message: Any) -> None:
        last = message.delivery_tag
        tags = [last]
        if message.multiple:
            tags = [tag for tag in self.waiting if tag <= last]
        for tag in tags:
            self.waiting.pop(tag).callback(None)


async def publish(job: Job, channel: Any, reactor: Any) -> None:
    """
    Publish without confirms; the answer to a last request shows that all arrived.

    The reactor runs after each 200 messages; else all would wait in memory.
    """
    bodies = job.bodies()
    watch = Stopwatch()
    for number, body in enumerate(bodies):
        await _send(job, channel, body)
        if number % WINDOW == WINDOW - 1:
            await deferLater(reactor, 0)
    await channel.queue_declare(queue=job.queue, passive=True)
    watch.report(job.messages)


async def confirm(job: Job, channel: Any, reactor: Any) -> None:
    """Publish with confirms, 200 in flight."""
    await channel.confirm_select()
    waiting = channel.client.delegate.waiting
    bodies = job.bodies()

    def send(number: int) -> Deferred[None]:
        confirmed: Deferred[None] = Deferred()
        waiting[number + 1] = confirmed
        _send(job, channel, bodies[number])
        return confirmed

    watch = Stopwatch()
    await Window(job, send).run()
    watch.report(job.messages)


async def consume(job: Job, channel: Any, reactor: Any) -> None:
    """Consume from the queue that txAMQP makes, and ack each message."""
    watch = Stopwatch()
    queue = await _consume(job, channel)
    for _ in range(job.messages):
        message = await queue.get()
        channel.basic_ack(message.delivery_tag)
    watch.report(job.messages)


async def request(job: Job, channel: Any, reactor: Any) -> None:
    """Publish, receive and ack messages one by one."""
    queue = await _consume(job, channel)
    seconds = []
    bodies = job.bodies()
    watch = Stopwatch()
    for body in bodies:
        began = perf_counter()
        _send(job, channel, body)
        message = await queue.get()
        channel.basic_ack(message.delivery_tag)
        seconds.append(perf_counter() - began)
    watch.report(job.messages, seconds)


def _send(job: Job, channel: Any, body: bytes) -> Any:
    content = Content(body, properties={"headers": {}, **PROPERTIES})
    return channel.basic_publish(routing_key=job.queue, content=content)


async def _consume(job: Job, channel: Any) -> Any:
    await channel.basic_qos(prefetch_count=WINDOW)
    reply = await channel.basic_consume(queue=job.queue)
    return await channel.client.queue(reply.consumer_tag)


MODES = {"publish": publish, "confirm": confirm, "consume": consume, "request": request}


async def main(reactor: Any) -> None:
    """Do the job on the command line."""
    job = Job.from_command_line()
    protocol = AMQClient(Delegate(), "/", specification())
    endpoint = TCP4ClientEndpoint(reactor, HOST, job.port)
    client: Any = await connectProtocol(endpoint, protocol)
    await client.authenticate(USER, USER, "PLAIN")
    channel = await client.channel(1)
    await channel.channel_open()
    await MODES[job.mode](job, channel, reactor)
    await client.close(within=10)


if __name__ == "__main__":
    react(main)
