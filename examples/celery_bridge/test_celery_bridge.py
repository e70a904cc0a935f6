"""
Tests of client and worker with each other, and of what they send, with a broker in
memory: nothing has to be started, and time passes only when a test says so.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, succeed

from celery_bridge import CELERY, NOTHING, CeleryClient, CeleryWorker, TaskFailed
from txkombu import Producer, Queue
from txkombu.exceptions import Unroutable
from txkombu.testing import BrokerTestCase


def divide(x: int, y: int = 1) -> Any:
    """A task that may fail, and that returns a Deferred."""
    return succeed(x // y)


class CeleryTests(BrokerTestCase):
    """Tasks and their results."""

    def setUp(self) -> None:
        """Make a client."""
        super().setUp()
        self.client = CeleryClient(self.connection)

    def work(self) -> None:
        """Start a worker."""
        worker = CeleryWorker(self.connect(), {"tasks.divide": divide})
        self.result_of(worker.consume())

    def test_called(self) -> None:
        """A task is carried out, and its result comes back."""
        self.work()
        self.assertEqual(self.result_of(self.client.call("tasks.divide", 7, y=2)), 3)

    def test_message(self) -> None:
        """A task is a message as Celery's workers read it."""
        self.work()
        number = self.result_of(self.client.send("tasks.divide", 7, y=2))
        [task] = self.published
        self.assertEqual(task.payload, [[7], {"y": 2}, NOTHING])
        self.assertEqual(task.headers["task"], "tasks.divide")
        self.assertEqual(task.headers["id"], number)
        self.assertEqual(task.properties["correlation_id"], number)
        self.assertEqual(task.properties["content_type"], "application/json")

    def test_result(self) -> None:
        """A result is a message as Celery's C{rpc://} backend reads it."""
        self.work()
        self.result_of(self.client.call("tasks.divide", 7))
        task, result = self.published
        self.assertEqual(result.routing_key, task.properties["reply_to"])
        self.assertEqual(
            result.payload,
            {
                "task_id": task.headers["id"],
                "status": "SUCCESS",
                "result": 7,
                "traceback": None,
                "children": [],
            },
        )

    def test_failed(self) -> None:
        """The error of a task is raised where it was called."""
        self.work()
        for name, arguments, kind in (
            ("tasks.divide", (7, 0), "ZeroDivisionError"),
            ("tasks.divide", (), "TypeError"),
            ("tasks.none", (), "LookupError"),
        ):
            with self.assertRaises(TaskFailed) as caught:
                self.result_of(self.client.call(name, *arguments))
            self.assertEqual(caught.exception.kind, kind)
        self.assertEqual(len(self.flushLoggedErrors()), 3)

    def test_refused(self) -> None:
        """What is not for this worker fails, instead of being done in part."""
        self.work()
        producer = Producer(self.connect(), routing_key="celery")
        headers = {"task": "tasks.divide", "id": "1"}
        chained = {**NOTHING, "chain": [{"task": "tasks.divide"}]}
        self.result_of(producer.publish([[7], {}, chained], headers=headers))
        later = {**headers, "eta": "2030-01-01T00:00:00"}
        self.result_of(producer.publish([[7], {}, NOTHING], headers=later))
        self.assertEqual(len(self.flushLoggedErrors(NotImplementedError)), 2)

    def test_retried(self) -> None:
        """That a task is tried again is no result yet."""
        self.result_of(CELERY(self.connect()).declare())
        calling = Deferred.fromCoroutine(self.client.call("tasks.divide", 7))
        self.flush()
        [task] = self.published
        answers = Producer(self.connect(), routing_key=str(task.properties["reply_to"]))
        for status, result in (("RETRY", None), ("SUCCESS", 7), ("SUCCESS", 8)):
            answer = {"task_id": task.headers["id"], "status": status, "result": result}
            self.result_of(answers.publish(answer))
        self.assertEqual(self.successResultOf(calling), 7)

    def test_nobody(self) -> None:
        """Without a worker a call fails: at once without the queue, else at its end."""
        with self.assertRaises(Unroutable):
            self.result_of(self.client.call("tasks.divide", 7))
        self.result_of(Queue("celery")(self.connect()).declare())
        calling = Deferred.fromCoroutine(self.client.call("tasks.divide", 7, timeout=5))
        self.advance(5)
        self.failureResultOf(calling, TimeoutError)
