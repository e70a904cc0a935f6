"""
Tasks of Celery, called and carried out by programs with Twisted.

They travel as Celery 4 and 5 send them (protocol 2, JSON), and their results as
Celery's C{rpc://} backend does.  What is made of several tasks (chains, chords,
callbacks), and tasks that wait for a time, are for Celery's own workers:
C{CeleryWorker} refuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isawaitable
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txkombu import (
    BrokerConnection,
    Channel,
    Consumer,
    Exchange,
    Message,
    Producer,
    Queue,
)
from txkombu.policy import park, retry

CELERY = Queue("celery", Exchange("celery"), "celery")
"""The queue that Celery uses unless it is told otherwise."""
NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class TaskFailed(Exception):
    """
    A task has failed.

    @ivar kind: the name of the error's type, such as C{"ValueError"}.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class CeleryClient:
    """
    Sends tasks, and receives their results in a queue of its own.

    @param connection: the connection, which may be used for other things as well.
    @param queue: the name of the queue from which workers take the tasks.
    """

    def __init__(self, connection: BrokerConnection, queue: str = CELERY.name) -> None:
        self._clock = connection.clock
        self._producer = Producer(connection, routing_key=queue)
        self._results = Queue(f"results-{uuid4()}", exclusive=True)
        self._consumer = Consumer(
            connection, self._results, no_ack=True, callbacks=[self._take]
        )
        self._waiting: dict[str, Deferred[Any]] = {}

    async def send(self, task: str, *args: Any, **kwargs: Any) -> str:
        """Send a task whose result nobody wants; return its id."""
        number = str(uuid4())
        await self._publish(number, task, args, kwargs, {})
        return number

    async def call(
        self, task: str, *args: Any, timeout: float = 30.0, **kwargs: Any
    ) -> Any:
        """
        Send a task, and wait for its result.  A result that comes while the connection
        is lost does not reach this program.

        @param task: its name, such as C{"tasks.add"}.
        @param timeout: seconds to wait for the result.
        @raise TaskFailed: it failed.
        @raise twisted.internet.defer.TimeoutError: no result came in time.
        """
        await self._consumer.consume()
        number = str(uuid4())
        result: Deferred[Any] = Deferred()
        self._waiting[number] = result
        try:
            reply_to = {"reply_to": self._results.name}
            await self._publish(number, task, args, kwargs, reply_to)
            return await result.addTimeout(timeout, self._clock)
        finally:
            del self._waiting[number]

    def _publish(
        self, number: str, task: str, args: Any, kwargs: Any, options: dict[str, Any]
    ) -> Deferred[None]:
        headers = {
            "lang": "py",
            "task": task,
            "id": number,
            "root_id": number,
            "parent_id": None,
            "group": None,
            "argsrepr": repr(args),
            "kwargsrepr": repr(kwargs),
            "ignore_result": not options,
        }
        return self._producer.publish(
            [args, kwargs, NOTHING],
            serializer="json",
            headers=headers,
            correlation_id=number,
            mandatory=True,
            **options,
        )

    def _take(self, result: Any, message: Message) -> None:
        waiter = self._waiting.get(result["task_id"])
        if waiter is None or waiter.called:
            return
        if result["status"] == "SUCCESS":
            waiter.callback(result["result"])
        elif result["status"] in ("FAILURE", "REVOKED"):
            error = result["result"]
            text = error["exc_message"]
            text = text if isinstance(text, str) else ", ".join(map(str, text))
            waiter.errback(TaskFailed(error["exc_type"], text))


class CeleryWorker(Consumer):
    """
    Carries out tasks that programs with Celery send.  A task whose result cannot be
    sent is carried out again.

    @param tasks: the function for each name; it may be a coroutine function, or return
        a Deferred.
    """

    queues = CELERY
    on_failure = retry(then=park("celery.parked"))
    log = Logger()

    def __init__(
        self,
        channel: Channel | BrokerConnection,
        tasks: Mapping[str, Callable[..., Any]],
    ) -> None:
        super().__init__(channel)
        self._tasks = tasks

    async def receive(self, body: Any, message: Message) -> None:
        """Carry out a task, send its result, and acknowledge it."""
        try:
            result = await self._carry_out(body, message.headers)
            status = "SUCCESS"
        except Exception as error:
            self.log.failure("A task has failed")
            kind = type(error)
            status, result = (
                "FAILURE",
                {
                    "exc_type": kind.__name__,
                    "exc_message": [str(each) for each in error.args],
                    "exc_module": kind.__module__,
                },
            )
        if message.reply_to and not message.headers.get("ignore_result"):
            await message.respond(
                {
                    "task_id": message.correlation_id,
                    "status": status,
                    "result": result,
                    "traceback": None,
                    "children": [],
                },
                serializer="json",
            )
        message.ack()

    async def _carry_out(self, body: Any, headers: Mapping[str, Any]) -> Any:
        args, kwargs, further = body
        if headers.get("eta") or any(further.values()):
            raise NotImplementedError("only single tasks are carried out, and at once")
        if headers["task"] not in self._tasks:
            raise LookupError(f"there is no task {headers['task']!r}")
        result = self._tasks[headers["task"]](*args, **kwargs)
        return await result if isawaitable(result) else result
