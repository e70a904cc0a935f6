"""
What a configuration file may have: a class for each section.

The text beside the type of each key says what it is, for the reference.
"""

from __future__ import annotations

from typing import Annotated, Any, NewType

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


@attrs.frozen(kw_only=True)
class TLSSection:
    """How to verify the broker, and this client's certificate."""

    cacertfile: Annotated[str | None, "PEM file with the authorities to trust"] = None
    certfile: Annotated[str | None, "PEM file with this client's certificate"] = None
    keyfile: Annotated[str | None, "PEM file with its key; by default certfile"] = None
    password: Annotated[Text | None, "the passphrase of the key"] = None
    verify: Annotated[bool, "whether to check the broker's certificate"] = True
    server_name: Annotated[str | None, "the name to check; by default the host"] = None


@attrs.frozen(kw_only=True)
class BrokerSection:
    """The broker, or the nodes of a cluster."""

    url: Annotated[Texts, "a URL, or a list of alternates that are tried in turn"]
    userid: Annotated[Text | None, "who logs in"] = None
    password: Annotated[Text | None, "read at each login if it is of a file"] = None
    virtual_host: Annotated[str | None, "the virtual host, if no URL has one"] = None
    tls: Annotated[TLSSection | None, "for URLs of amqps and stomp+ssl"] = None
    heartbeat: Annotated[float | None, "seconds; 0 for none"] = None
    connect_timeout: Annotated[float | None, "seconds for one attempt"] = None
    operation_timeout: Annotated[float | None, "seconds for one operation"] = None
    wait_for_broker: Annotated[bool, "whether to wait for a broker that is down"] = True


@attrs.frozen(kw_only=True)
class ExchangeSection:
    """An exchange; its name is its key."""

    type: Annotated[
        str, "direct, fanout, topic, headers, or a type that the broker has"
    ] = ""
    durable: Annotated[bool, "whether it survives a restart of the broker"] = True
    auto_delete: Annotated[bool, "whether it goes with its last binding"] = False
    arguments: Annotated[dict[str, Any] | None, "further arguments"] = None
    passive: Annotated[bool, "only check that it exists"] = False
    no_declare: Annotated[bool, "do not declare it"] = False


@attrs.frozen(kw_only=True)
class BindingSection:
    """One way into a queue."""

    exchange: Annotated[str, "an exchange of this file, or an amq.* exchange"]
    routing_key: Annotated[str, "the key, or pattern"] = ""
    arguments: Annotated[
        dict[str, Any] | None, "what a headers exchange matches by"
    ] = None


@attrs.frozen(kw_only=True)
class QueueSection:
    """A queue; its name is its key."""

    exchange: Annotated[str | None, "an exchange of this file, or amq.*"] = None
    routing_key: Annotated[str, "the key of the binding to exchange"] = ""
    bindings: Annotated[list[BindingSection], "instead of exchange: several"] = (
        attrs.field(factory=list)
    )
    durable: Annotated[bool, "whether it survives a restart of the broker"] = True
    exclusive: Annotated[bool, "only for the connection that declares it"] = False
    auto_delete: Annotated[bool, "whether it goes with its last consumer"] = False
    no_declare: Annotated[bool, "do not declare it"] = False
    queue_type: Annotated[str | None, "classic, quorum or stream"] = None
    expires: Annotated[float | None, "seconds without use until it is deleted"] = None
    message_ttl: Annotated[float | None, "seconds until a message in it expires"] = None
    max_length: Annotated[int | None, "how many messages may be ready in it"] = None
    max_length_bytes: Annotated[int | None, "how many bytes may be ready in it"] = None
    max_priority: Annotated[int | None, "its highest priority, 1 to 255"] = None
    queue_arguments: Annotated[dict[str, Any] | None, "further arguments"] = None
    binding_arguments: Annotated[dict[str, Any] | None, "of the binding"] = None
    consumer_arguments: Annotated[dict[str, Any] | None, "of its consumers"] = None


@attrs.frozen(kw_only=True)
class ConsumerSection:
    """A consumer: a handler, and what is not as the handler itself says."""

    handler: Annotated[str, "package.module:Name of a Consumer or a function"]
    queues: Annotated[Texts | None, "names of queues of this file"] = None
    prefetch_count: Annotated[int | None, "unsettled messages for each queue"] = None
    concurrency: Annotated[int | None, "messages that are handled at the same time"] = (
        None
    )
    on_failure: Annotated[Policy | None, "what becomes of failed messages"] = None
    accept: Annotated[list[str] | None, "serializers or content types"] = None
    auto_declare: Annotated[Declare | None, "true, false or passive"] = None
    exclusive: Annotated[bool | None, "be the only consumer of its queues"] = None
    priority: Annotated[int | None, "receive before consumers of lower priority"] = None
    no_ack: Annotated[bool | None, "acknowledge when the handler begins"] = None
    max_body_size: Annotated[int | None, "bytes of a decompressed body"] = None
    thread: Annotated[bool | None, "run the function in threads"] = None
    middleware: Annotated[list[str] | None, "functions around the handling"] = None


@attrs.frozen(kw_only=True)
class PublisherSection:
    """What handlers publish with, if they have a parameter C{publisher}."""

    broker: Annotated[BrokerSection | None, "by default the same as for consumers"] = (
        None
    )


@attrs.frozen(kw_only=True)
class LogSection:
    """What is logged, to standard error."""

    level: Annotated[Level, "debug, info, warn, error or critical"] = Level("info")
    format: Annotated[str, "text, or json for a line of JSON for each event"] = "text"


@attrs.frozen(kw_only=True)
class ServiceFile:
    """All of a configuration file."""

    broker: Annotated[BrokerSection, "a URL, a list of them, or a mapping"]
    consumers: Annotated[list[ConsumerSection], "at least one"] = attrs.field(
        factory=list
    )
    queues: Annotated[dict[str, QueueSection], "queues by name"] = attrs.field(
        factory=dict
    )
    exchanges: Annotated[dict[str, ExchangeSection], "exchanges by name"] = attrs.field(
        factory=dict
    )
    publisher: Annotated[PublisherSection | None, "publish from handlers"] = None
    app: Annotated[str | None, "names the connections; by default the file's name"] = (
        None
    )
    shutdown_timeout: Annotated[
        float | None, "seconds that handlers have to finish"
    ] = None
    log: Annotated[LogSection, "what is logged"] = attrs.field(factory=LogSection)
