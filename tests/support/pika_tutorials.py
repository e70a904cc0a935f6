"""
RabbitMQ's tutorials with pika: programs that declare, publish, consume and print as the
official ones do.

Each is called in a thread, with a channel, its arguments, and what prints.  One that
waits for messages starts its consumer, and returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import pika

Print = Callable[..., object]
Program = Callable[[Any, Sequence[str], Print], None]

SECONDS = 0.02
"""How long a program waits before it looks whether it was interrupted."""
ROUNDS = 500
"""How often a client waits so long for a reply, at most."""
QUORUM: Final = {"x-queue-type": "quorum"}


def _send(channel: Any, arguments: Sequence[str], tell: Print) -> None:
    channel.queue_declare("hello", durable=True, arguments=QUORUM)
    channel.basic_publish("", "hello", "Hello World!")
    tell("[x] Sent 'Hello World!'")


def _receive(channel: Any, arguments: Sequence[str], tell: Print) -> None:
    channel.queue_declare("hello", durable=True, arguments=QUORUM)

    def received(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        tell("[x] Received", body.decode())

    channel.basic_consume("hello", received, auto_ack=True)
    tell("[*] Waiting for messages. To exit press CTRL+C")


def _new_task(channel: Any, arguments: Sequence[str], tell: Print) -> None:
    task = " ".join(arguments) or "Hello World!"
    channel.queue_declare("task_queue", durable=True, arguments=QUORUM)
    channel.basic_publish("", "task_queue", task, pika.BasicProperties(delivery_mode=2))
    tell("[x] Sent", task)


def _worker(channel: Any, arguments: Sequence[str], tell: Print) -> None:
    channel.queue_declare("task_queue", durable=True, arguments=QUORUM)

    def work(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        tell("[x] Received", body.decode())
        tell("[x] Done")
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("task_queue", work)
    tell("[*] Waiting for messages. To exit press CTRL+C")


def _emitter(exchange: str, kind: str, default_key: str) -> Program:
    def emit(channel: Any, arguments: Sequence[str], tell: Print) -> None:
        key = arguments[0] if arguments else default_key
        text = " ".join(arguments[1:]) or "Hello World!"
        channel.exchange_declare(exchange, kind)
        channel.basic_publish(exchange, key, text)
        tell(f"[x] Sent {key}:{text}")

    return emit


def _emit_log(channel: Any, arguments: Sequence[str], tell: Print) -> None:
    text = " ".join(arguments) or "info: Hello World!"
    channel.exchange_declare("logs", "fanout")
    channel.basic_publish("logs", "", text)
    tell("[x] Sent", text)


def _listen(channel: Any, exchange: str, keys: Sequence[str], take: Any) -> None:
    """Consume what an exchange sends for some keys to a queue without a name."""
    queue = channel.queue_declare("", exclusive=True).method.queue
    for key in keys:
        channel.queue_bind(queue, exchange, key)
    channel.basic_consume(queue, take, auto_ack=True)


def _receive_logs(channel: Any, arguments: Sequence[str], tell: Print) -> None:
    def received(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        tell("[x]", body.decode())

    channel.exchange_declare("logs", "fanout")
    _listen(channel, "logs", [""], received)
    tell("[*] Waiting for logs. To exit press CTRL+C")


def _listener(exchange: str, kind: str) -> Program:
    def listen(channel: Any, arguments: Sequence[str], tell: Print) -> None:
        def received(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            tell(f"[x] {method.routing_key}:{body.decode()}")

        channel.exchange_declare(exchange, kind)
        _listen(channel, exchange, arguments, received)
        tell("[*] Waiting for logs. To exit press CTRL+C")

    return listen


def _rpc_server(channel: Any, arguments: Sequence[str], tell: Print) -> None:
    channel.queue_declare("rpc_queue", durable=True, arguments=QUORUM)

    def requested(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        number = int(body)
        tell(f"[.] fib({number})")
        last, fibonacci = 1, 0
        for _ in range(number):
            last, fibonacci = fibonacci, last + fibonacci
        channel.basic_publish(
            "",
            properties.reply_to,
            str(fibonacci),
            pika.BasicProperties(correlation_id=properties.correlation_id),
        )
        channel.basic_ack(method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("rpc_queue", requested)
    tell("[x] Awaiting RPC requests")


def _rpc_client(channel: Any, arguments: Sequence[str], tell: Print) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    number = str(uuid4())
    replies: list[bytes] = []

    def replied(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if properties.correlation_id == number:
            replies.append(body)

    tag = channel.basic_consume(queue, replied, auto_ack=True)
    tell("[x] Requesting fib(30)")
    wanted = pika.BasicProperties(reply_to=queue, correlation_id=number)
    channel.basic_publish("", "rpc_queue", "30", wanted)
    for _ in range(ROUNDS):
        channel.connection.process_data_events(SECONDS)
        if replies:
            break
    channel.basic_cancel(tag)
    tell("[.] Got", int(replies[0]))


PROGRAMS: Final[Mapping[str, Program]] = {
    "send.py": _send,
    "receive.py": _receive,
    "new_task.py": _new_task,
    "worker.py": _worker,
    "emit_log.py": _emit_log,
    "receive_logs.py": _receive_logs,
    "emit_log_direct.py": _emitter("direct_logs", "direct", "info"),
    "receive_logs_direct.py": _listener("direct_logs", "direct"),
    "emit_log_topic.py": _emitter("topic_logs", "topic", "anonymous.info"),
    "receive_logs_topic.py": _listener("topic_logs", "topic"),
    "rpc_server.py": _rpc_server,
    "rpc_client.py": _rpc_client,
}


def run(
    url: str,
    name: str,
    arguments: Sequence[str],
    tell: Print,
    interrupted: threading.Event,
) -> None:
    """
    Run a program in this thread, on a connection of its own.

    @param url: the broker.
    @param name: the program's file, as in the official tutorials.
    @param tell: is called with the words of each line.
    @param interrupted: ends a program that waits for messages.
    """
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        PROGRAMS[name](channel, arguments, tell)
        while channel.consumer_tags and not interrupted.is_set():
            connection.process_data_events(SECONDS)
