"""
What exchanges and queues share: a channel they may be bound to, and equality.
"""

from __future__ import annotations

from copy import copy
from typing import ClassVar, TypeVar

from .._util.validation import kind_of
from ..exceptions import NotBoundError
from .interfaces import ChannelSource, EntityChannel

_E = TypeVar("_E", bound="Entity")


class Entity:
    """
    What exchanges and queues share: a channel they may be bound to.

    @cvar fields: the names of the declared fields; they decide equality.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    _channel: EntityChannel | None = None

    name: str

    def __call__(self: _E, channel: ChannelSource) -> _E:
        """Return a copy bound to a channel; the same as L{bind}."""
        return self.bind(channel)

    def bind(self: _E, channel: ChannelSource) -> _E:
        """
        Return a copy bound to a channel, or to a connection's default channel.
        """
        bound = copy(self)
        bound._channel = channel_of(channel)
        return bound

    def unbound(self: _E) -> _E:
        """Return a copy bound to no channel: what is declared, and no more."""
        twin = copy(self)
        twin._channel = None
        return twin

    def maybe_bind(self: _E, channel: ChannelSource | None) -> _E:
        """Return this if it is bound or there is no channel, else a bound copy."""
        return self if channel is None or self.is_bound else self.bind(channel)

    @property
    def is_bound(self) -> bool:
        """Whether operations can be called on this one."""
        return self._channel is not None

    @property
    def channel(self) -> EntityChannel:
        """
        The channel this is bound to.

        @raise NotBoundError: it is bound to none.
        """
        return self.channel_for("channel")

    def channel_for(
        self, method: str, channel: ChannelSource | None = None
    ) -> EntityChannel:
        """
        The channel that a method works on: the one it was given, or ours.

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
        """The declared fields by name, dicts copied."""
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

    def __copy__(self: _E) -> _E:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def describe(self, text: str) -> str:
        """Make a repr."""
        bound = f" bound to {self._channel!r}" if self._channel else ""
        return f"<{type(self).__name__} {text}{bound}>"


def channel_of(channel: ChannelSource) -> EntityChannel:
    """
    A channel stands for itself, a connection for its default channel.

    @raise TypeError: it is neither.
    """
    default = getattr(channel, "default_channel", None)
    if default is None:
        raise no_channel(channel)
    found: EntityChannel = default
    return found


def no_channel(given: object) -> TypeError:
    return TypeError(
        f"a Channel or a BrokerConnection is needed, not {kind_of(given)}; "
        "`await connection.channel()` gives a channel"
    )
