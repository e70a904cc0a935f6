"""The programs freeze their heap once their consumers have started."""

from __future__ import annotations

import gc
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from txkombu import Channel, Consumer, Queue
from txkombu.cli.tap import PluginService, ProgramService
from txkombu.exceptions import ConnectError
from txkombu.service import ConsumerService
from txkombu.testing import BrokerTestCase


def _consumer(channel: Channel) -> Consumer:
    handlers = [lambda body, message: message.ack()]
    return Consumer(channel, Queue("q"), callbacks=handlers)


class _Cycle:
    """An object that only a garbage collection frees."""

    def __init__(self) -> None:
        self.me = self


class FreezeTests(BrokerTestCase, SynchronousTestCase):
    """What garbage collections pass over."""

    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(gc.get_freeze_count(), 0)
        self.addCleanup(gc.unfreeze)

    def run_service(self, kind: type[ConsumerService]) -> ConsumerService:
        """Start a service, which is stopped at the end of the test."""
        service = kind(self.connection, _consumer)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def test_frozen_when_started(self) -> None:
        """Nothing is frozen before the consumers have started, and then the heap is."""
        for kind in (ProgramService, PluginService):
            self.connection = self.connect()
            self.broker.refuse(ConnectError("not yet"))
            self.run_service(kind)
            self.flush()
            self.assertEqual(gc.get_freeze_count(), 0, kind)
            self.broker.accept()
            self.advance(60)
            self.assertGreater(gc.get_freeze_count(), 1000, kind)
            gc.unfreeze()

    def test_garbage_is_freed_before(self) -> None:
        """Garbage is collected first, as it would stay for ever."""
        gc.disable()
        self.addCleanup(gc.enable)
        garbage = ref(_Cycle())
        self.assertIsNotNone(garbage())
        self.run_service(ProgramService)
        self.flush()
        self.assertGreater(gc.get_freeze_count(), 0)
        self.assertIsNone(garbage())

    def test_stopped_before(self) -> None:
        """A service that is stopped before it has started freezes nothing."""
        self.broker.refuse()
        self.successResultOf(self.run_service(ProgramService).stopService())
        self.advance(60)
        self.assertEqual(gc.get_freeze_count(), 0)

    def test_library(self) -> None:
        """A service of another application leaves the heap to that."""
        self.run_service(ConsumerService)
        self.flush()
        self.assertEqual(gc.get_freeze_count(), 0)
