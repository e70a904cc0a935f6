"""
What a configuration file may have: a class for each section.

The reference and the JSON schema are made of the types and of what the docstrings say.
"""

from __future__ import annotations

from typing import Any, NewType

import attrs

from .sources import Text

Texts = NewType("Texts", list[str])
"""A text, or a list of them."""
Policy = NewType("Policy", object)
"""The name of a failure policy, or a mapping of its name to its arguments."""
Declare = NewType("Declare", object)
"""true, false or "passive"."""
Level = NewType("Level", str)
"""The name of a level of Twisted's logger."""
Format = NewType("Format", str)
"""text or json."""
QueueType = NewType("QueueType", str)
"""classic, quorum or stream."""


@attrs.frozen(kw_only=True)
class TLSSection:
    """
    How to verify the broker, and this client's certificate.

    @ivar cacertfile: PEM file with the authorities to trust.
    @ivar certfile: PEM file with this client's certificate.
    @ivar keyfile: PEM file with its key; by default certfile.
    @ivar password: the passphrase of the key.
    @ivar verify: whether to check the broker's certificate.
    @ivar server_name: the name to check; by default the host.
    """

    cacertfile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    password: Text | None = None
    verify: bool = True
    server_name: str | None = None


@attrs.frozen(kw_only=True)
class BrokerSection:
    """
    The broker, or the nodes of a cluster.

    @ivar url: a URL, or a list of alternates that are tried in turn.
    @ivar userid: who logs in.
    @ivar password: read at each login if it is of a file.
    @ivar virtual_host: the virtual host, if no URL has one.
    @ivar tls: for URLs of amqps and stomp+ssl.
    @ivar heartbeat: seconds; 0 for none.
    @ivar connect_timeout: seconds for one attempt.
    @ivar operation_timeout: seconds for one operation.
    @ivar wait_for_broker: whether to wait for a broker that is down.
    """

    url: Texts
    userid: Text | None = None
    password: Text | None = None
    virtual_host: str | None = None
    tls: TLSSection | None = None
    heartbeat: float | None = None
    connect_timeout: float | None = None
    operation_timeout: float | None = None
    wait_for_broker: bool = True


@attrs.frozen(kw_only=True)
class ExchangeSection:
    """
    An exchange; its name is its key.

    @ivar type: direct, fanout, topic, headers, or a type that the broker has.
    @ivar durable: whether it survives a restart of the broker.
    @ivar auto_delete: whether it goes with its last binding.
    @ivar arguments: further arguments.
    @ivar passive: only check that it exists.
    @ivar no_declare: do not declare it.
    """

    type: str = ""
    durable: bool = True
    auto_delete: bool = False
    arguments: dict[str, Any] | None = None
    passive: bool = False
    no_declare: bool = False


@attrs.frozen(kw_only=True)
class BindingSection:
    """
    One way into a queue.

    @ivar exchange: an exchange of this file, or an amq.* exchange.
    @ivar routing_key: the key, or pattern.
    @ivar arguments: what a headers exchange matches by.
    """

    exchange: str
    routing_key: str = ""
    arguments: dict[str, Any] | None = None


@attrs.frozen(kw_only=True)
class QueueSection:
    """
    A queue; its name is its key.

    @ivar exchange: an exchange of this file, or amq.*.
    @ivar routing_key: the key of the binding to exchange.
    @ivar bindings: instead of exchange: several.
    @ivar durable: whether it survives a restart of the broker.
    @ivar exclusive: only for the connection that declares it.
    @ivar auto_delete: whether it goes with its last consumer.
    @ivar no_declare: do not declare it.
    @ivar queue_type: classic, quorum or stream.
    @ivar expires: seconds without use until it is deleted.
    @ivar message_ttl: seconds until a message in it expires.
    @ivar max_length: how many messages may be ready in it.
    @ivar max_length_bytes: how many bytes may be ready in it.
    @ivar max_priority: its highest priority, 1 to 255.
    @ivar queue_arguments: further arguments.
    @ivar binding_arguments: of the binding.
    @ivar consumer_arguments: of its consumers.
    """

    exchange: str | None = None
    routing_key: str = ""
    bindings: list[BindingSection] = attrs.field(factory=list)
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    no_declare: bool = False
    queue_type: QueueType | None = None
    expires: float | None = None
    message_ttl: float | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    max_priority: int | None = None
    queue_arguments: dict[str, Any] | None = None
    binding_arguments: dict[str, Any] | None = None
    consumer_arguments: dict[str, Any] | None = None


@attrs.frozen(kw_only=True)
class ConsumerSection:
    """
    A consumer: a handler, and what is not as the handler itself says.

    @ivar handler: package.module:Name of a Consumer or a function.
    @ivar queues: names of queues of this file.
    @ivar prefetch_count: unsettled messages for each queue.
    @ivar concurrency: messages that are handled at the same time.
    @ivar on_failure: what becomes of failed messages.
    @ivar accept: serializers or content types.
    @ivar auto_declare: true, false or passive.
    @ivar exclusive: be the only consumer of its queues.
    @ivar priority: receive before consumers of lower priority.
    @ivar no_ack: acknowledge when the handler begins.
    @ivar max_body_size: bytes of a decompressed body.
    @ivar thread: run the function in threads.
    @ivar middleware: functions around the handling.
    """

    handler: str
    queues: Texts | None = None
    prefetch_count: int | None = None
    concurrency: int | None = None
    on_failure: Policy | None = None
    accept: list[str] | None = None
    auto_declare: Declare | None = None
    exclusive: bool | None = None
    priority: int | None = None
    no_ack: bool | None = None
    max_body_size: int | None = None
    thread: bool | None = None
    middleware: list[str] | None = None


@attrs.frozen(kw_only=True)
class PublisherSection:
    """
    What handlers publish with, if they have a parameter C{publisher}.

    @ivar broker: by default the same as for consumers.
    @ivar middleware: functions around each publish.
    """

    broker: BrokerSection | None = None
    middleware: list[str] | None = None


@attrs.frozen(kw_only=True)
class LogSection:
    """
    What is logged, to standard error.

    @ivar level: debug, info, warn, error or critical.
    @ivar format: text, or json for a line of JSON for each event.
    """

    level: Level = Level("info")
    format: Format = Format("text")


@attrs.frozen(kw_only=True)
class ServiceFile:
    """
    All of a configuration file.

    @ivar broker: a URL, a list of them, or a mapping.
    @ivar consumers: at least one.
    @ivar queues: queues by name.
    @ivar exchanges: exchanges by name.
    @ivar publisher: publish from handlers.
    @ivar app: names the connections; by default the file's name.
    @ivar shutdown_timeout: seconds that handlers have to finish.
    @ivar http: endpoint of health and metrics, as tcp:8080:interface=127.0.0.1.
    @ivar log: what is logged.
    """

    broker: BrokerSection
    consumers: list[ConsumerSection] = attrs.field(factory=list)
    queues: dict[str, QueueSection] = attrs.field(factory=dict)
    exchanges: dict[str, ExchangeSection] = attrs.field(factory=dict)
    publisher: PublisherSection | None = None
    app: str | None = None
    shutdown_timeout: float | None = None
    http: str | None = None
    log: LogSection = attrs.field(factory=LogSection)
