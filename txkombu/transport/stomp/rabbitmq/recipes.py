"""
How queues are declared, bound, looked for, emptied and deleted on RabbitMQ, where
STOMP has no command for any of it.

What the plugin does, found out by trying, and why the recipes are as they are:

 - A SEND declares its queue, also one that a transaction takes back, and is the
   first to that queue on its socket.  The broker answers late, and even a
   DISCONNECT's receipt may come before the refusal; a SUBSCRIBE behind it has the
   refusal first.

 - B{A SUBSCRIBE that binds a queue and is refused deletes the queue, with all
   messages}, whoever declared it: if the exchange is missing, if the user may not
   read the exchange or this key of it, may not write or read the queue, or if
   somebody consumes the queue exclusively.  So all of that is tried before, on
   another socket: the queue is read, and a queue of which nothing is lost is bound.

 - Such a SUBSCRIBE takes messages from the queue, as does one that looks whether a
   queue is there.  What it took goes back, but as redelivered, and a quorum queue
   counts it.  With a C{prefetch-count} below 0 it takes nothing: the plugin hands
   the number on as it is, and a consumer whose credit is not above 0 has none; 0
   itself is no limit.  So it is in 3.10, 4.0 and 4.3, with quorum queues, too.

 - Ending a subscription while messages are on their way is an error for each of
   them.  It is replaced by one of the same name where nothing comes, in one write.
   A message has the same id with C{ack} and C{message-id}, if it has both.

Helper queues have the queue's name in front, so that permissions by its beginning
cover them.  They are exclusive, and go when they are left or with their socket: to
make one takes longer than all the rest.  They keep nothing of what comes to them.

RabbitMQ 4.3 nacks what is on its way to a queue that goes, whatever other queues
have it, and the plugin ends the socket of who published it.  So where it can be
done a helper is bound by a key that nobody else has, and else it goes at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ...._util.validation import SHORT_STRING_BYTES
from ....exceptions import AccessRefused
from ..connections import all_of, fence
from ..dialect import Connections, GetResult
from ..protocol import StompProtocol
from ..wire.frames import Frame, encode_frame, encode_header
from .mapping import Route, destination_of, queue_destination

if TYPE_CHECKING:
    from ....entity import Queue

Headers = Iterable[tuple[str, str]]

IDLE_SECONDS: Final = 0.2
"""
A queue from which nothing has come for so long is empty.  Classic queues need no
such time; quorum queues hand out later than they answer.
"""

_CONSUMED_ALONE: Final = " in exclusive use"
_MARK: Final = ".txkombu-"
_KEYS_ALIKE: Final = "amq.direct"
"""Whoever may bind to it may bind by any key; to a topic exchange perhaps not."""
_REPLIES: Final = queue_destination("amq.rabbitmq.reply-to")
_GET: Final = "get"

INDIVIDUAL: Final = ("ack", "client-individual")
AUTO: Final = ("ack", "auto")
_NONE: Final = ("prefetch-count", "-1")
_ONE: Final = ("prefetch-count", "1")
_ALL: Final = ("prefetch-count", "0")
_FLEETING: Final = (
    ("durable", "false"),
    ("auto-delete", "true"),
    ("exclusive", "true"),
    ("x-max-length", "0"),
)


def helper_name(queue: str, unique: str = "") -> str:
    """
    A name that begins as a queue's does, and that nothing else has.

    @param unique: what makes it so; by default something new.
    """
    tail = f"{_MARK}{unique or uuid4().hex}"
    head = queue.encode()[: SHORT_STRING_BYTES - len(tail)]
    return head.decode("utf-8", "ignore") + tail


def subscribe_frame(destination: str, id: str, headers: Headers) -> bytes:
    """One SUBSCRIBE."""
    return encode_frame(
        "SUBSCRIBE", [("destination", destination), ("id", id), *headers]
    )


def unsubscribe_frame(id: str, headers: Headers = ()) -> bytes:
    """One UNSUBSCRIBE."""
    return encode_frame("UNSUBSCRIBE", [("id", id), *headers])


def dead_end(name: str, id: str, headers: Headers) -> bytes:
    """
    Subscribe to a helper queue, which is made by it and never gets a message.

    @param name: the queue's.
    """
    destination = queue_destination(helper_name(name), declaring=True)
    return subscribe_frame(destination, id, [*headers, _NONE, *_FLEETING])


def replace_frames(id: str, headers: Headers = ()) -> bytes:
    """
    End a subscription, and have one of the same name where nothing comes: replies
    to requests that nobody made.  That needs no permission.
    """
    return unsubscribe_frame(id) + subscribe_frame(_REPLIES, id, [AUTO, *headers])


class _Request(NamedTuple):
    """A frame that was not written yet, and what fires when it is answered."""

    id: str
    frame: bytes
    done: Deferred[None]


def _subscribing(socket: StompProtocol, destination: str, headers: Headers) -> _Request:
    """Subscribe, by an id that the socket never had."""
    receipt, done = socket.receipt()
    id = f"{socket.name}-{receipt}"
    all_headers = [*headers, ("receipt", receipt)]
    return _Request(id, subscribe_frame(destination, id, all_headers), done)


def _ending(socket: StompProtocol, subscribed: _Request) -> _Request:
    """
    End a subscription that took no messages, and has its receipt: if it was
    refused, this would be too, and perhaps be heard of first.
    """
    receipt, done = socket.receipt()
    frame = unsubscribe_frame(subscribed.id, [("receipt", receipt)])
    return _Request(subscribed.id, frame, done)


async def _all(socket: StompProtocol, *requests: _Request) -> None:
    """Write them at once, and wait for all answers."""
    socket.write(b"".join(each.frame for each in requests))
    await all_of([each.done for each in requests])


async def _subscribe(
    socket: StompProtocol, destination: str, id: str, headers: Headers
) -> None:
    receipt, done = socket.receipt()
    all_headers = [*headers, ("receipt", receipt)]
    socket.write(subscribe_frame(destination, id, all_headers))
    await done


# --- declaring ----------------------------------------------------------------


async def declare(queue: Queue, described: Headers, connections: Connections) -> None:
    """
    @param described: flags and arguments of the queue, as headers.
    """
    async with connections.of(queue) as socket:
        transaction = id = f"d-{uuid4().hex}"
        within = ("transaction", transaction)
        receipt, done = socket.receipt()
        destination = queue_destination(queue.name, declaring=True)
        socket.write(
            encode_frame("BEGIN", [within])
            + encode_frame("SEND", [("destination", destination), within, *described])
            + encode_frame("ABORT", [within])
            + subscribe_frame(_REPLIES, id, [AUTO, ("receipt", receipt)])
        )
        await done
        socket.write(unsubscribe_frame(id))


async def look_up(name: str, socket: StompProtocol) -> None:
    """
    Look at a queue.  What it had to hand out on that socket has come then.

    @raise NotFound: there is no such queue.
    """
    looking = _subscribing(socket, queue_destination(name), [INDIVIDUAL, _NONE])
    await _all(socket, looking)
    await _all(socket, _ending(socket, looking))


async def look_for_queue(name: str, connections: Connections) -> None:
    """
    @raise NotFound: there is no such queue.
    """
    try:
        async with connections.declaring() as socket:
            await look_up(name, socket)
    except AccessRefused as error:
        # Who consumes it alone keeps us out, and not from knowing of it.
        if not error.text.endswith(_CONSUMED_ALONE):
            raise


async def look_for_exchange(name: str, connections: Connections) -> None:
    """
    @raise NotFound: there is no such exchange.
    """
    async with connections.declaring() as socket:
        # No queue's name may begin with "amq.".
        helper = helper_name(name.removeprefix("amq."))
        attempt = _binding_to(socket, Route(name, helper), helper, _FLEETING)
        with _explained(helper):
            await _all(socket, attempt)
        await _all(socket, _ending(socket, attempt))


@contextmanager
def _explained(helper: str) -> Iterator[None]:
    """Say what a helper queue is for, if that is what is refused."""
    try:
        yield
    except AccessRefused as error:
        if helper not in error.text:
            raise
        raise AccessRefused(
            f"{error.text} (it was to try a binding, since the plugin deletes a queue "
            "when binding it fails: permissions have to cover it)"
        ) from error


async def _probe(socket: StompProtocol, queue: Queue, route: Route) -> list[_Request]:
    """
    Try all that may go wrong when a queue is bound.

    @return: what has to end on the socket before anything is published, and keeps
        others from consuming the queue exclusively until then.
    @raise BrokerError: it would be refused, and the queue deleted.
    """
    to_end = []
    if not queue.exclusive:
        source = queue_destination(queue.name)
        to_end.append(_subscribing(socket, source, [INDIVIDUAL, _NONE]))
    if route.exchange == _KEYS_ALIKE:
        helper = helper_name(queue.name, socket.name)
        attempt = _binding_to(socket, Route(_KEYS_ALIKE, helper), helper, _FLEETING)
        requests = [*to_end, attempt]
    else:
        helper = helper_name(queue.name)
        to_end.append(_binding_to(socket, route, helper, _FLEETING))
        requests = to_end
    with _explained(helper):
        await _all(socket, *requests)
    return to_end


async def probe_binding(queue: Queue, route: Route, connections: Connections) -> None:
    """
    @raise BrokerError: a binding would be refused, and the queue deleted.
    """
    async with connections.declaring() as socket:
        to_end = await _probe(socket, queue, route)
        await _all(socket, *(_ending(socket, each) for each in to_end))


async def bind(
    queue: Queue, route: Route, described: Headers, connections: Connections
) -> None:
    """
    Bind a queue that is not exclusive.

    @param described: as for L{declare}.
    """
    async with connections.declaring() as socket:
        to_end = await _probe(socket, queue, route)
        binding = _binding_to(socket, route, queue.name, described)
        await _all(socket, binding)
        await _all(socket, *(_ending(socket, each) for each in (*to_end, binding)))


def _binding_to(
    socket: StompProtocol, route: Route, name: str, described: Headers
) -> _Request:
    headers = binding_headers(name, described)
    return _subscribing(socket, destination_of(route), headers)


def binding_headers(name: str, described: Headers) -> list[tuple[str, str]]:
    """What a SUBSCRIBE that binds a queue has beside its destination."""
    return [INDIVIDUAL, _NONE, ("x-queue-name", name), *described]


# --- deleting and emptying ------------------------------------------------------


async def delete(queue: Queue, described: Headers, connections: Connections) -> None:
    """
    Delete a queue: bind it, and end what the plugin takes for a durable
    subscription to a topic.  It knows none to anything else.

    @param described: as for L{declare}.
    """
    async with connections.short() as socket:
        nowhere = f"/topic/{uuid4().hex}"
        headers = binding_headers(queue.name, described)
        await _subscribe(socket, nowhere, "delete", headers)
        receipt, done = socket.receipt()
        durable = [("durable", "true"), ("x-queue-name", queue.name)]
        socket.write(
            unsubscribe_frame("delete", durable)
            + dead_end(queue.name, "delete", [INDIVIDUAL, ("receipt", receipt)])
        )
        await done


async def purge(queue: Queue, connections: Connections) -> int:
    """@return: how many messages went."""
    count = 0

    def took(_: Frame) -> None:
        nonlocal count
        count += 1

    async with connections.of(queue) as socket:
        id = f"d-{uuid4().hex}"
        socket.subscribe(id, took, _ignore)
        await _subscribe(socket, queue_destination(queue.name), id, [AUTO, _ALL])
        seen = -1
        while seen != count:
            seen = count
            await fence(socket)
            if seen == count:
                await deferLater(connections.clock, IDLE_SECONDS)
        await _replace(socket, id)
        socket.unsubscribe(id)
        socket.write(unsubscribe_frame(id))
    return count


async def get(
    queue: Queue, no_ack: bool, late: bool, connections: Connections
) -> GetResult | None:
    """
    @param late: the queue may hand out later than it answers.
    """
    socket = await connections.open()
    try:
        frame = await _take_one(socket, queue.name, connections.clock if late else None)
    except BaseException:
        connections.drop(socket)
        raise
    if frame is None:
        await connections.leave(socket)
        return None
    if no_ack:
        socket.write(ack_frame(frame))
    return GetResult(frame, socket)


async def _take_one(
    socket: StompProtocol, name: str, clock: IReactorTime | None
) -> Frame | None:
    """@param clock: to wait a while for one; C{None} if there is no need to."""
    found: list[Frame] = []
    socket.subscribe(_GET, found.append, _ignore)
    await _subscribe(socket, queue_destination(name), _GET, [INDIVIDUAL, _ONE])
    if clock is not None and not found:
        await deferLater(clock, IDLE_SECONDS)
    await _replace(socket, _GET)
    return found[0] if found else None


async def _replace(socket: StompProtocol, id: str) -> None:
    """End a subscription; all that was on its way has come then."""
    receipt, done = socket.receipt()
    socket.write(replace_frames(id, [("receipt", receipt)]))
    await done
    await fence(socket)


def _ack_id(frame: Frame) -> str:
    """One that came late, by a subscription that was replaced, has no C{ack}."""
    return frame.headers.get("message-id", "")


def ack_frame(frame: Frame) -> bytes:
    """What settles a MESSAGE."""
    return b"ACK\n%b\n\0" % encode_header("id", _ack_id(frame))


def nack_frame(frame: Frame, requeue: bool) -> bytes:
    """What gives a MESSAGE back, or drops it, or dead-letters it."""
    headers = [
        ("id", _ack_id(frame)),
        ("requeue", "true" if requeue else "false"),
    ]
    return encode_frame("NACK", headers)


def _ignore(_: Exception) -> None:
    """Its queue has gone; there is nothing more to come."""
