"""celery.rst: both sides speak Celery's message protocol 2."""

from __future__ import annotations

from typing import Any

from tests.documentation.cookbook.recipe import BROKER, RecipeCase
from txkombu import BrokerConnection, Queue
from txkombu.rpc import RPCClient
from txkombu.service import ConsumerService


class CeleryTests(RecipeCase):
    """celery.rst"""

    page = "celery.rst"

    async def test_task(self) -> None:
        """A task that is sent is done, and its result or error comes back."""
        client, worker = self.load("tasks_client"), self.load("tasks_worker")
        service = ConsumerService(BROKER, worker.run_task)
        self.start(service)
        await service.when_started()
        async with BrokerConnection(BROKER) as connection:
            calls = RPCClient(connection)
            result = await client.call_task(
                calls, "shop.multiply", 6, y=7, queue="twisted"
            )
            self.assertEqual(result, 42)
            with self.assertRaises(client.TaskFailed) as caught:
                await client.call_task(calls, "shop.multiply", 6, queue="twisted")
            self.assertIn("TypeError", str(caught.exception))

    async def test_message(self) -> None:
        """The message is as Celery's documentation of its protocol says."""
        client = self.load("tasks_client")
        async with BrokerConnection(BROKER) as connection:
            await Queue("celery")(connection).declare()
            calling = self.begin(
                client.call_task(RPCClient(connection), "shop.add", 2, 3, timeout=5)
            )
            message = await self.take("celery")
            calling.addErrback(lambda _: None)
            calling.cancel()
        payload: Any = message.payload
        args, kwargs, embed = payload
        self.assertEqual((args, kwargs), ([2, 3], {}))
        self.assertEqual(sorted(embed), ["callbacks", "chain", "chord", "errbacks"])
        self.assertEqual(message.headers["task"], "shop.add")
        self.assertEqual(message.headers["id"], message.headers["root_id"])
        self.assertEqual(message.content_type, "application/json")
        self.assertTrue(message.properties["correlation_id"])
        self.assertTrue(message.reply_to)
