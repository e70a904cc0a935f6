"""What users' functions return, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txkombu._util.asyncio_bridge import explained
from txkombu._util.awaitables import (
    as_deferred,
    as_exception,
    call_and_wait,
    finish,
    work_of,
)


class Refused(Exception):
    """What work in these tests fails with."""


def iter_nothing() -> Iterator[None]:
    """Be a generator."""
    yield


def no_function() -> None:
    """Stand for the function at fault."""


class WorkTests(SynchronousTestCase):
    """What to wait for after a function has returned."""

    def assert_type_error(self, result: object, text: str) -> None:
        """Nobody can wait for it, and the error says so."""
        work = work_of(result, no_function)
        assert work is not None
        error = self.failureResultOf(work, TypeError).value
        self.assertIn("no_function", str(error))
        self.assertIn(text, str(error))

    def test_plain(self) -> None:
        """There is nothing to wait for with plain values."""
        for plain in (None, 0, "text", [1], object(), ValueError("returned")):
            self.assertIsNone(work_of(plain, no_function))

    def test_kinds_of_deferreds(self) -> None:
        """Deferreds are taken as they are, those of other classes too."""
        kinds: list[Deferred[Any]] = [Deferred(), DeferredList([])]
        for given in kinds:
            self.assertIs(work_of(given, no_function), given)

    def test_failure(self) -> None:
        """A Failure that is returned is a failure."""
        work = work_of(Failure(Refused("no")), no_function)
        assert work is not None
        self.failureResultOf(work, Refused)

    def test_generators(self) -> None:
        """Of a generator nothing has run, nor of an async generator."""

        def generator() -> Iterator[None]:
            yield

        async def async_generator() -> AsyncIterator[None]:
            yield

        class Stepped:
            def __aiter__(self) -> Stepped:
                return self

            async def __anext__(self) -> None:
                raise StopAsyncIteration

        self.assert_type_error(Stepped(), "an async generator or iterator")
        self.assert_type_error(generator(), "a generator: is @inlineCallbacks missing?")
        self.assert_type_error(async_generator(), "an async generator")

    def test_thread_future_that_is_done(self) -> None:
        """The result of work in a thread that is over is there at once."""
        good: ThreadFuture[int] = ThreadFuture()
        good.set_result(7)
        bad: ThreadFuture[int] = ThreadFuture()
        bad.set_exception(Refused("no"))
        self.assertEqual(self.successResultOf(self.ended(good)), 7)
        self.failureResultOf(self.ended(bad), Refused)

    def test_thread_future_cancelled(self) -> None:
        """Giving up work for a thread cancels it."""
        future: ThreadFuture[int] = ThreadFuture()
        work = work_of(future, no_function)
        assert work is not None
        work.cancel()
        self.failureResultOf(work)
        self.assertTrue(future.cancelled())

    def test_nested(self) -> None:
        """Work whose result is work again is waited for to the end."""
        gate: Deferred[str] = Deferred()

        async def returns_deferred() -> Deferred[str]:
            return gate

        async def returns_coroutine() -> Coroutine[Any, Any, Any]:
            return returns_deferred()

        ended = self.ended(succeed(returns_coroutine()))
        self.assertNoResult(ended)
        gate.callback("done")
        self.assertEqual(self.successResultOf(ended), "done")

    def test_nested_failures(self) -> None:
        """A coroutine that returns what fails has failed."""

        async def returns(result: Any) -> Any:
            return result

        self.failureResultOf(self.ended(returns(fail(Refused("no")))), Refused)
        self.failureResultOf(self.ended(returns(Failure(Refused("no")))), Refused)
        self.failureResultOf(self.ended(returns(iter_nothing())), TypeError)

    def ended(self, result: object) -> Deferred[Any]:
        """Wait for it to the end."""
        return Deferred.fromCoroutine(finish(result, no_function))

    def test_call_and_wait(self) -> None:
        """Whatever a function raises or fails with, an Exception comes of it."""
        for error in (SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Refused()):

            def raises(error: BaseException = error) -> None:
                raise error

            async def fails(error: BaseException = error) -> None:
                raise error

            for function in (raises, fails):
                failure = self.failureResultOf(call_and_wait(function))
                self.assertIsInstance(failure.value, Exception)
                self.assertIn(type(error).__name__, repr(failure.value))

    def test_as_exception(self) -> None:
        """What is no Exception becomes one that names it; others stay."""
        error = Refused("no")
        self.assertIs(as_exception(error, "it"), error)
        exits = SystemExit("line one\nline two")
        told = as_exception(exits, "the factory")
        self.assertEqual(str(told), "the factory raised SystemExit: line one line two")
        self.assertIs(told.__cause__, exits)


class ThreadTests(TestCase):
    """Work in threads."""

    async def test_result(self) -> None:
        """What a thread's future ends with comes back in the reactor's thread."""
        with ThreadPoolExecutor(1) as pool:
            held = pool.submit(no_function)
            work = work_of(pool.submit(lambda: 7), no_function)
            assert work is not None
            self.assertEqual(await work, 7)
            held.result()
            failing = work_of(pool.submit(int, "seven"), no_function)
            assert failing is not None
            with self.assertRaises(ValueError):
                await failing

    async def test_thread_of_the_callbacks(self) -> None:
        """Callbacks run in the reactor's thread, not in the one that did the work."""
        future: ThreadFuture[int] = ThreadFuture()
        work = work_of(future, no_function)
        assert work is not None
        inside: list[bool] = []
        work.addCallback(lambda _: inside.append(True))
        reactor.callInThread(future.set_result, 7)  # type: ignore[attr-defined]  # the reactor's
        await work
        self.assertEqual(inside, [True])


class AsyncioTests(SynchronousTestCase):
    """What is asyncio's, with its loop running, as under the asyncio reactor."""

    def run_in_loop(self, scenario: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a scenario in an event loop, to its end."""
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(asyncio.wait_for(scenario(), 10))
        finally:
            loop.close()

    async def ended(self, result: Any) -> Any:
        """Wait for a result as a handler's is waited for, in asyncio's way."""
        work = work_of(result, no_function)
        assert work is not None
        return await work.asFuture(asyncio.get_running_loop())

    def test_future(self) -> None:
        """A task or future is waited for, and its failure is a failure."""

        async def slow(result: object) -> object:
            await asyncio.sleep(0)
            if isinstance(result, Exception):
                raise result
            return result

        async def scenario() -> None:
            loop = asyncio.get_running_loop()
            self.assertEqual(await self.ended(loop.create_task(slow(7))), 7)
            with self.assertRaises(Refused):
                await self.ended(loop.create_task(slow(Refused())))
            future = loop.create_future()
            loop.call_soon(future.set_result, 8)
            self.assertEqual(await self.ended(future), 8)

        self.run_in_loop(scenario)

    def test_mixed_coroutine(self) -> None:
        """A coroutine may await asyncio's things and Deferreds, one after the other."""

        async def work(gate: Deferred[str], bad: Deferred[str]) -> list[str]:
            done = []
            async with asyncio.Lock():
                await asyncio.wait_for(asyncio.sleep(0), 5)
                done.append(await gate)
                done.append(await succeed("fired"))
                try:
                    await bad
                except Refused:
                    done.append("refused")
            await asyncio.sleep(0)
            assert asyncio.current_task() is not None
            return done

        async def scenario() -> None:
            loop = asyncio.get_running_loop()
            gate: Deferred[str] = Deferred()
            bad: Deferred[str] = Deferred()
            loop.call_later(0.01, gate.callback, "late")
            loop.call_later(0.02, bad.errback, Refused())
            found = await self.ended(work(gate, bad))
            self.assertEqual(found, ["late", "fired", "refused"])

        self.run_in_loop(scenario)

    def test_exits(self) -> None:
        """A coroutine that raises SystemExit or its like ends nothing but itself."""

        async def raises(error: BaseException) -> None:
            await asyncio.sleep(0)
            raise error

        async def scenario() -> None:
            for error in (SystemExit(3), KeyboardInterrupt(), GeneratorExit()):
                failures: list[Failure] = []
                work = as_deferred(raises(error)).addErrback(failures.append)
                while not work.called:
                    await asyncio.sleep(0)
                self.assertIs(failures[0].value, error)

        self.run_in_loop(scenario)

    def test_cancelled(self) -> None:
        """Giving up a coroutine cancels the Deferred that it awaits."""

        async def scenario() -> None:
            gave_up: list[Any] = []
            gate: Deferred[None] = Deferred(gave_up.append)

            async def work() -> None:
                await gate

            waiting = as_deferred(work())
            waiting.addErrback(lambda _: None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            waiting.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            self.assertEqual(gave_up, [gate])

        self.run_in_loop(scenario)

    def test_no_loop(self) -> None:
        """Without it, a future that is not done is told with what to do."""
        loop = asyncio.new_event_loop()
        future = loop.create_future()
        failure = self.failureResultOf(as_deferred(future), TypeError)
        self.assertIn("asyncioreactor.install()", str(failure.value))
        future.set_result(7)
        self.assertEqual(self.successResultOf(as_deferred(future)), 7)
        loop.close()

    def test_explained(self) -> None:
        """So are coroutines that await asyncio's things, and plain functions."""
        loop = asyncio.new_event_loop()
        future = loop.create_future()

        async def sleeps() -> None:
            await asyncio.sleep(1)

        async def awaits_future() -> None:
            await future

        def makes_task() -> None:
            coroutine = sleeps()
            try:
                asyncio.get_running_loop().create_task(coroutine)
            finally:
                coroutine.close()

        for function in (sleeps, awaits_future, makes_task):
            failed = explained(self.failureResultOf(call_and_wait(function)))
            self.assertIn("asyncioreactor.install()", failed.getErrorMessage())
            self.assertIn(
                "in makes_task" if function is makes_task else "in ",
                failed.getTraceback(),
            )
        loop.close()

    def test_deferred_in_a_task(self) -> None:
        """A Deferred that a task awaits as it is is told with what to do."""

        async def awaits() -> None:
            await Deferred()

        async def scenario() -> Failure:
            task = asyncio.get_running_loop().create_task(awaits())
            await asyncio.wait([task])
            return explained(Failure(task.exception()))

        told = self.run_in_loop(scenario).getErrorMessage()
        self.assertIn("deferred.asFuture(loop)", told)

    def test_others_are_not_explained(self) -> None:
        """Failures that have nothing to do with it stay as they are."""
        for error in (RuntimeError("no disk"), Refused("no running event loop")):
            failure = Failure(error)
            self.assertIs(explained(failure), failure)
