"""
Record what a connection declared and what the broker has of it, and restore it.

The record has two parts.  What was I{declared} is declared again in each new session:
exchanges, queues, then bindings.  What is I{present} is what the broker is known to
have in this session; code that declares something only once asks this part.  It forgets
what the broker refuses to restore, what it says is not found, and everything when the
session is lost.  It never holds what the broker may delete by itself (auto-delete,
exclusive, C{x-expires}).

A queue that the broker names gets a new name in each session, and so does what is
recorded about it.  The record holds unbound copies, which keep no closed channel alive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple
from weakref import ref

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.logger import Logger

from .._util.batches import Batches
from .._util.timeouts import gather_results
from ..entity import Exchange, Queue
from ..exceptions import (
    BrokerError,
    ChannelClosed,
    ConnectionForced,
    NotFound,
    NotSupported,
    ResourceError,
)
from ..interfaces import Capability, ISession, ISessionChannel, QueueDeclareOk
from .liveness import IgnoringListener
from .recorded_bindings import (
    BindingRecord,
    Key,
    RecordedBinding,
    exchange_key,
    key_of,
    queue_key,
)

_REFUSALS = (BrokerError, NotSupported, TypeError, ValueError)
"""Errors of one declaration, after which the others are still made."""

_LOSSES = (ConnectionForced, ResourceError)
"""Those that are about the connection, and no refusals of what is declared."""

Wait = Callable[[Sequence[Deferred[Any]]], Deferred[list[tuple[bool, Any]]]]
"""Waits for all of some Deferreds, as L{gather_results} does."""


class Step(NamedTuple):
    """
    One declaration of the record.

    @ivar key: identifies it in the record.
    @ivar what: names it in the log.
    @ivar take: makes it on a session channel.
    """

    key: Key
    what: str
    take: Callable[[ISessionChannel], Deferred[Any]]


class Topology:
    """
    The record of one connection's declarations.

    @param renamed: called with (old, new) when the broker gave a queue that
        it names itself another name.

    @ivar lapses: grows whenever something may be present no longer; until then a caller
        need not ask again about what it found present.
    @ivar refused: what the broker refused to restore in this session.
    """

    _log = Logger()

    def __init__(self, renamed: Callable[[str, str], None]) -> None:
        self._renamed = renamed
        self._exchanges: dict[str, Exchange] = {}
        self._queues: dict[str, Queue] = {}
        self._server_named: dict[str, dict[int, ref[Queue]]] = {}
        self._bindings = BindingRecord()
        self._present: set[Key] = set()
        self.refused: set[Key] = set()
        self.lapses = 0

    # --- recording ----------------------------------------------------------

    def exchange_declared(self, exchange: Exchange) -> None:
        """Record an exchange; a mere name does not replace what is recorded."""
        if not exchange.by_name or exchange.name not in self._exchanges:
            self._exchanges[exchange.name] = exchange.unbound()
        self.note_present(exchange)

    def exchange_deleted(self, name: str) -> None:
        """Forget an exchange and its bindings."""
        self._exchanges.pop(name, None)
        self._lapse(exchange_key(name))
        self._drop_bindings(self._bindings.keys_about(exchange_key(name)))

    def queue_declared(self, queue: Queue, server_named: bool) -> None:
        """Record a queue, which has its name by now."""
        self._queues[queue.name] = queue.unbound()
        self.note_present(queue)
        if server_named:
            self._server_named[queue.name] = {}
            self._note_user(queue)

    def _note_user(self, queue: Queue) -> None:
        """Rename this object, too, when the broker renames the queue."""
        users = self._server_named.get(queue.name)
        if users is not None:
            number, known = id(queue), users
            users[number] = ref(queue, lambda _: known.pop(number, None))

    def is_server_named(self, queue: Queue) -> bool:
        """Return whether the broker made its name, and makes another one next time."""
        return queue.name in self._server_named

    def queue_deleted(self, name: str) -> None:
        """Forget a queue and its bindings."""
        self._queues.pop(name, None)
        self._server_named.pop(name, None)
        self._lapse(queue_key(name))
        self._drop_bindings(self._bindings.keys_about(queue_key(name)))

    def bound(self, bound: RecordedBinding) -> None:
        """Record a binding."""
        if isinstance(bound.destination, Queue):
            self._note_user(bound.destination)
        destination, source = bound.destination.unbound(), bound.source.unbound()
        key = bound.key()
        self._bindings.add(RecordedBinding(destination, source, *bound[2:]))
        self._note(key)

    def unbound(self, bound: RecordedBinding) -> None:
        """Forget a binding."""
        key = bound.key()
        self._drop_bindings([key])
        self._lapse(key)

    def _drop_bindings(self, keys: Iterable[Key]) -> None:
        """Forget bindings, and the auto-delete exchanges whose last binding is gone."""
        sources = set()
        for key in keys:
            bound = self._bindings.remove(key)
            if bound is not None:
                self._lapse(key)
                sources.add(bound.source.name)
        for source in sources:
            recorded = self._exchanges.get(source)
            is_unused = not self._bindings.has_source(source)
            if recorded is not None and recorded.auto_delete and is_unused:
                self.exchange_deleted(source)

    # --- what is present ------------------------------------------------------

    def knows(self, entity: Exchange | Queue) -> bool:
        """
        Return whether the broker is known to have exactly this exchange, or exactly
        this queue with its bindings, so that it need not be declared.
        """
        if not self.is_present(entity):
            return False
        if isinstance(entity, Exchange):
            return self._exchanges.get(entity.name) == entity
        keys = (
            RecordedBinding(entity, each.exchange, each.routing_key, each.arguments)
            for each in entity.all_bindings()
        )
        return self._queues.get(entity.name) == entity and all(
            bound.key() in self._present for bound in keys
        )

    def is_present(self, entity: Exchange | Queue) -> bool:
        """
        Return whether the broker is known to have something of this name; false for
        what the broker may delete by itself.
        """
        return not _may_vanish(entity) and key_of(entity) in self._present

    def note_present(self, entity: Exchange | Queue) -> None:
        """Note that the broker has an exchange or queue."""
        self._note(key_of(entity))

    def _note(self, key: Key) -> None:
        self._present.add(key)
        self._bindings.note(key)
        self.refused.discard(key)

    def not_found(self, name: str) -> None:
        """
        Note that the broker has no queue or no exchange of a name.

        @param name: C{""} if the broker does not say which: then anything may be gone.
        """
        if not name:
            self.session_lost()
            return
        entities = exchange_key(name), queue_key(name)
        for key in (*entities, *self._bindings.firm_keys_about(*entities)):
            self._lapse(key)

    def unroutable(self, exchange: str, routing_key: str) -> None:
        """Note that no queue took a message: what is bound there may be gone."""
        if not exchange:
            self._lapse(queue_key(routing_key))
        for bound in self._bindings.firm_from(exchange):
            self._lapse(bound.key())
            self._lapse(key_of(bound.destination))

    def session_lost(self) -> None:
        """Note that it is not known any more what the broker has."""
        self._present.clear()
        self._bindings.forget_lapses()
        self.refused.clear()
        self.lapses += 1

    def _lapse(self, key: Key) -> None:
        self._present.discard(key)
        self._bindings.lapse(key)
        self.refused.discard(key)
        self.lapses += 1

    # --- replaying ----------------------------------------------------------

    @inlineCallbacks
    def replay(
        self, session: ISession, wait: Wait = gather_results
    ) -> Generator[Deferred[Any], Any, None]:
        """
        Declare everything again.  What the broker refuses is logged and left out; see
        L{replay_refused}.

        @param wait: waits for some declarations, as L{gather_results} does.
        @return: fails when the session is lost, or a connection that it needs, and with
            what C{wait} fails with.
        """
        self.session_lost()
        exchanges = [_declares(each) for each in self._exchanges.values()]
        yield self._run(session, exchanges, wait)
        queues = [self._redeclares(each) for each in self._queues.values()]
        yield self._run(session, queues, wait)
        bindings = [_binds(each) for each in self._bindings]
        yield self._run(session, bindings, wait)

    @inlineCallbacks
    def replay_refused(
        self, session: ISession, wait: Wait = gather_results
    ) -> Generator[Deferred[Any], Any, None]:
        """
        Try once more what the broker refused to restore.

        @return: fails as that of L{replay}; what was not tried is still in C{refused}.
        """
        exchanges = [_declares(each) for each in self._exchanges.values()]
        queues = [self._redeclares(each) for each in self._queues.values()]
        yield self._run(session, self._only_refused(exchanges), wait)
        yield self._run(session, self._only_refused(queues), wait)
        bindings = [_binds(each) for each in self._bindings]
        yield self._run(session, self._only_refused(bindings), wait)

    def lapsed_bindings(self, exchange: str) -> list[Step]:
        """Return the bindings of an exchange that went with it, or with a queue."""
        return [_binds(each) for each in self._bindings.lapsed_about(exchange)]

    @inlineCallbacks
    def bind_again(
        self, session: ISession, exchange: str
    ) -> Generator[Deferred[Any], Any, None]:
        """
        Restore the bindings of an exchange that had gone, and was declared again.

        A refusal is logged.

        @return: fails only when the session is lost.
        """
        yield self._run(session, self.lapsed_bindings(exchange))

    def _only_refused(self, steps: list[Step]) -> list[Step]:
        return [each for each in steps if each.key in self.refused]

    @inlineCallbacks
    def replay_queue(
        self, session: ISession, queue: Queue
    ) -> Generator[Deferred[Any], Any, None]:
        """
        Declare one queue again, with the exchanges it is bound to.  If this connection
        did not declare it, only check that it exists, where the transport can do that.

        A refusal is logged: a queue that exists with other arguments can still be
        consumed from.

        @return: fails with L{NotFound} if there is no such queue, and when the
            session is lost.
        """
        recorded = self._queues.get(queue.name)
        if recorded is None or recorded.name in self._server_named:
            # It cannot be declared again by its name, but it may still be there.
            found = yield self._look_up(session, recorded or queue)
            if found or recorded is None:
                return
        bindings = self._bindings.to_queue(recorded.name)
        sources = dict.fromkeys(bound.source.name for bound in bindings)
        known = [self._exchanges[name] for name in sources if name in self._exchanges]
        steps = [_declares(each) for each in known] + [self._redeclares(recorded)]
        yield self._run(session, steps)
        bindings = self._bindings.to_queue(recorded.name)  # by its name now
        yield self._run(session, [_binds(each) for each in bindings])

    @inlineCallbacks
    def _look_up(
        self, session: ISession, queue: Queue
    ) -> Generator[Deferred[Any], Any, bool]:
        """
        Check that a queue exists.

        @return: fires with whether it does; fails with L{NotFound} unless the broker
            named it.
        """
        if Capability.QUEUE_PASSIVE not in session.capabilities:
            return True
        try:
            yield self._run(session, [_looks_up(queue)], strict=True)
        except NotFound:
            if queue.name in self._server_named:
                return False
            raise
        except _REFUSALS as error:
            self._log_refused(repr(queue), error)
        return True

    def _redeclares(self, queue: Queue) -> Step:
        if queue.name not in self._server_named:
            return Step(
                queue_key(queue.name),
                repr(queue),
                lambda channel: channel.queue_declare(queue, False).addCallback(
                    queue.declared
                ),
            )
        nameless = queue.renamed("")

        def redeclared(ok: QueueDeclareOk) -> None:
            self._rename(queue, ok.queue)
            queue.declared(ok)

        def redeclare(channel: ISessionChannel) -> Deferred[None]:
            return channel.queue_declare(nameless, False).addCallback(redeclared)

        return Step(queue_key(queue.name), repr(queue), redeclare)

    def _rename(self, queue: Queue, new: str) -> None:
        old = queue.name
        self._bindings.rename_queue(old, new)
        queue.rename(new)
        self._queues[new] = self._queues.pop(old)
        users = self._server_named[new] = self._server_named.pop(old)
        for each in filter(None, [user() for user in users.values()]):
            each.rename(new)
        self._renamed(old, new)

    @inlineCallbacks
    def _run(
        self,
        session: ISession,
        steps: list[Step],
        wait: Wait = gather_results,
        strict: bool = False,
    ) -> Generator[Deferred[Any], Any, None]:
        """
        Take all steps at once on a new session channel.  A refusal ends the session
        channel; the steps behind it are taken again on others, in batches.

        @param strict: fail with the first refusal.
        """
        waiting, batches = deque(steps), Batches()
        while waiting:
            [(opened, channel)] = yield wait([session.open_channel(IgnoringListener())])
            if not opened:
                channel.raiseException()
            steps = batches.take_next(waiting)
            began = [maybeDeferred(step.take, channel) for step in steps]
            try:
                results = yield wait(began)
            finally:
                # Not waited for: a broker that does not answer delays nothing.
                channel.close()
            for step, (fine, _) in zip(steps, results, strict=True):
                if fine:
                    self._note(step.key)
            failed = [
                (step, result.value)
                for step, (fine, result) in zip(steps, results, strict=True)
                if not fine
            ]
            again = [step for step, error in failed if _may_be_taken_again(error)]
            waiting.extendleft(reversed(again))
            batches.batch_over(len(steps) - len(again), len(again))
            for step, error in failed:
                if not _may_be_taken_again(error):
                    self._refused(step, error, strict)
            if again and len(again) == len(results):
                raise failed[0][1]

    def _refused(self, step: Step, error: Exception, strict: bool) -> None:
        if strict or isinstance(error, _LOSSES) or not isinstance(error, _REFUSALS):
            raise error
        self._lapse(step.key)
        self._bindings.refuse(step.key)
        self.refused.add(step.key)
        self._log_refused(step.what, error)

    def _log_refused(self, what: str, error: Exception) -> None:
        self._log.error(
            "The broker refused to restore {what}: {error}", what=what, error=str(error)
        )


def _may_vanish(entity: Exchange | Queue) -> bool:
    """Return whether the broker may delete it by itself."""
    if isinstance(entity, Exchange):
        return entity.auto_delete
    expires = entity.arguments.get("x-expires") is not None
    return entity.auto_delete or entity.exclusive or expires


def _may_be_taken_again(error: Exception) -> bool:
    """Return whether a step failed only because another one ended the channel."""
    return isinstance(error, ChannelClosed)


def _declares(exchange: Exchange) -> Step:
    return Step(
        exchange_key(exchange.name),
        repr(exchange),
        lambda channel: channel.exchange_declare(exchange, False),
    )


def _looks_up(queue: Queue) -> Step:
    return Step(
        queue_key(queue.name),
        repr(queue),
        lambda channel: channel.queue_declare(queue, True),
    )


def _binds(binding: RecordedBinding) -> Step:
    destination, source, key, _ = binding
    what = f"binding of {destination.name!r} to {source.name!r} by {key!r}"
    return Step(binding.key(), what, binding.bind)
