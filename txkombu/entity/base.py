"""The base of exchanges and queues: a channel they may be bound to, and equality."""

from __future__ import annotations

from copy import copy
from typing import ClassVar, TypeVar

from .._util.validation import kind_of
from ..exceptions import NotBoundError
from .interfaces import ChannelSource, EntityChannel

_E = TypeVar("_E", bound="Entity")


class Entity:
    """
    The base of exchanges and queues.

    @cvar fields: the names of the declared fields; they decide equality.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    _channel: EntityChannel | None = None

    def __init__(self, name: str, channel: ChannelSource | None) -> None:
        """
        @param name: the name at the broker.
        @param channel: the channel to bind it to, or a connection, if any.
        """
        self.name = name
        if channel is not None:
            self._channel = channel_of(channel)

    def __call__(self: _E, channel: ChannelSource) -> _E:
        """Return a copy bound to a channel; the same as L{bind}."""
        return self.bind(channel)

    def bind(self: _E, channel: ChannelSource) -> _E:
        """
        Return a copy bound to a channel.

        @param channel: a channel, or a connection, which stands for its default
            channel.
        """
        return self._with(_channel=channel_of(channel))

    def unbound(self: _E) -> _E:
        """Return a copy bound to no channel."""
        return self._with(_channel=None)

    def _with(self: _E, **changes: object) -> _E:
        """Return a copy with other values of the named attributes."""
        twin = copy(self)
        twin.__dict__.update(changes)
        return twin

    def maybe_bind(self: _E, channel: ChannelSource | None) -> _E:
        """
        Return a copy bound to a channel; or this object, if it is bound already.

        @param channel: as for L{bind}; C{None} returns this object.
        """
        return self if channel is None or self.is_bound else self.bind(channel)

    @property
    def is_bound(self) -> bool:
        """Whether this object is bound to a channel, so that it can be declared."""
        return self._channel is not None

    @property
    def channel(self) -> EntityChannel:
        """
        The channel this object is bound to.

        @raise NotBoundError: it is bound to none.
        """
        return self.channel_for("channel")

    def channel_for(
        self, method: str, channel: ChannelSource | None = None
    ) -> EntityChannel:
        """
        Return the channel that a method works on.

        @param method: the method's name, for the error.
        @param channel: the one given to the method; by default the one this object
            is bound to.
        @raise NotBoundError: there is neither.
        """
        if channel is not None:
            return channel_of(channel)
        if self._channel is None:
            kind = type(self).__name__
            raise NotBoundError(
                f"Can't call {method} on {kind} not bound to a channel. "
                f"Call the {kind.lower()} with a channel to get a bound copy."
            )
        return self._channel

    def _values(self) -> dict[str, object]:
        """Return the declared fields by name, dicts copied."""
        fields = {field: getattr(self, field) for field in self.fields}
        return {
            field: dict(value) if isinstance(value, dict) else value
            for field, value in fields.items()
        }

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, field) for field in self.fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Entity)
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))

    def describe(self, text: str) -> str:
        """
        Make a repr.

        @param text: what to tell beside the class and the channel.
        """
        bound = f" bound to {self._channel!r}" if self._channel else ""
        return f"<{type(self).__name__} {text}{bound}>"


def channel_of(channel: ChannelSource) -> EntityChannel:
    """
    Return a channel itself, or a connection's default channel.

    @raise TypeError: it is neither.
    """
    default: EntityChannel | None = getattr(channel, "default_channel", None)
    if default is None:
        raise no_channel(channel)
    return default


def no_channel(given: object) -> TypeError:
    """Make the error for something that is no channel."""
    return TypeError(
        f"a Channel or a BrokerConnection is needed, not {kind_of(given)}; "
        "`await connection.channel()` gives a channel"
    )
