"""Values that are more than plain: failure policies, lists of texts, levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from inspect import signature
from typing import Any, Final

from twisted.logger import LogLevel

from .. import policy
from .._util.field_values import check_finite
from .._util.suggestions import did_you_mean, known_names
from ..entity import Queue
from ..policy import FailurePolicy
from ..policy.hosting import HostedPolicy
from .consumer_loader import function_named
from .service_file import Declare, Format, Level, Policy, QueueType, Texts
from .sources import Text
from .structure import Wrong, must_be

_POLICY: Final = "the name of a policy, or a mapping of its name to its arguments"
NAMED_POLICIES: Final[Mapping[str, FailurePolicy | HostedPolicy]] = {
    "default": policy.default,
    "circle": policy.circle,
    "requeue": policy.requeue,
    "requeue_once": policy.requeue_once,
    "reject": policy.reject,
    "drop": policy.drop,
    "halt": policy.halt,
}
MADE_POLICIES: Final[Mapping[str, Callable[..., FailurePolicy | HostedPolicy]]] = {
    "retry": policy.retry,
    "delayed": policy.delayed,
    "park": policy.park,
}


def texts(value: Any) -> list[str]:
    """Return one or several texts as a list that is not empty."""
    listed = value if isinstance(value, list) else [value]
    words = "a text, or a list of texts"
    if not listed:
        raise Wrong(f"must be {words}; the list is empty")
    for each in listed:
        if not isinstance(each, str):
            raise must_be(words, each)
    return listed


def failure_policy(
    value: Any, queues: Mapping[str, Queue]
) -> FailurePolicy | HostedPolicy:
    """
    Return a failure policy: by its name, or a mapping of its name to its arguments, or
    as C{package.module:name}.

    @param queues: those of the file, which may be parking queues.
    @raise Exception: there is none; the text says why.
    """
    if isinstance(value, str):
        return _policy_named(value)
    if not isinstance(value, Mapping) or len(value) != 1:
        raise must_be(_POLICY, value)
    ((name, given),) = value.items()
    if name in NAMED_POLICIES:
        raise Wrong(f"{name} has no arguments: write on_failure: {name}")
    if name not in MADE_POLICIES:
        raise _unknown_policy(name)
    arguments = {"queue": given} if name == "park" and isinstance(given, str) else given
    if not isinstance(arguments, Mapping):
        raise must_be(f"a mapping of arguments of {name}", arguments)
    return _made(name, dict(arguments), queues)


def _made(
    name: str, arguments: dict[str, Any], queues: Mapping[str, Queue]
) -> FailurePolicy | HostedPolicy:
    make = MADE_POLICIES[name]
    allowed = signature(make).parameters
    for each in arguments:
        if each not in allowed:
            raise Wrong(f"{name} has no {each!r}: {known_names(str(each), allowed)}")
    for each, parameter in allowed.items():
        if parameter.default is parameter.empty and each not in arguments:
            raise Wrong(f"{name} needs {each}")
    if "then" in arguments:
        arguments["then"] = failure_policy(arguments["then"], queues)
    if not isinstance(arguments.get("delays", []), list):
        raise must_be(
            "a list of numbers of seconds, delays of delayed", arguments["delays"]
        )
    for each in ("park", "queue"):
        if each in arguments:
            named = arguments[each]
            if not isinstance(named, str):
                raise must_be(f"the name of a queue, {each} of {name}", named)
            arguments[each] = queues.get(named, named)
    try:
        return make(**arguments)
    except (TypeError, ValueError) as error:
        raise Wrong(f"{name}: {error}") from None


def _policy_named(name: str) -> FailurePolicy | HostedPolicy:
    if name in NAMED_POLICIES:
        return NAMED_POLICIES[name]
    if name == "retry":
        return policy.default
    if name in MADE_POLICIES:
        raise Wrong(f"{name} needs arguments, as in on_failure: {{{name}: …}}")
    if ":" in name:
        found: FailurePolicy = function_named(name, 2)
        return found
    raise _unknown_policy(name)


def _unknown_policy(name: object) -> Wrong:
    known = known_names(str(name), [*NAMED_POLICIES, *MADE_POLICIES])
    return Wrong(f"there is no policy {name!r}: {known}, or package.module:name")


def declaring(value: Any) -> bool | str:
    """Return whether a consumer declares its queues."""
    if isinstance(value, bool) or value == "passive":
        return value  # type: ignore[no-any-return]  # a bool or a str
    raise must_be("true, false or passive", value)


def log_level(value: Any) -> str:
    """Return the name of a level of Twisted's logger."""
    return _one_of(LEVELS, value)


def log_format(value: Any) -> str:
    """Return the name of a format of the log."""
    return _one_of(FORMATS, value)


def queue_type(value: Any) -> str:
    """Return the name of a type of queues."""
    return _one_of(QUEUE_TYPES, value)


def _one_of(words: tuple[str, ...], value: Any) -> str:
    """Return a value that is one of some words."""
    if isinstance(value, str) and value in words:
        return value
    allowed = f"one of {', '.join(words)}"
    if not isinstance(value, str):
        raise must_be(allowed, value)
    guess = did_you_mean(value.lower(), words)
    raise Wrong(f"must be {allowed}{f'; {guess}' if guess else f', not {value!r}'}")


def field_value(value: Any) -> Any:
    """Return a value of arguments, if brokers know its type."""
    parts = value.values() if isinstance(value, dict) else value
    for each in parts if isinstance(value, dict | list) else ():
        field_value(each)
    if isinstance(value, float):
        check_finite(value)
    if type(value) in _NO_FIELDS:
        raise must_be("a text, a number, true, false, a list or a mapping", value)
    return value


LEVELS: Final = tuple(each.name for each in LogLevel.iterconstants())
FORMATS: Final = ("text", "json")
QUEUE_TYPES: Final = ("classic", "quorum", "stream")
_NO_FIELDS: Final = (date, set)
"""Types of YAML that a field of AMQP cannot have."""

MAKERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    Text: Text,
    Text | None: Text,  # which refuses null: the password would be another one
    Texts: texts,
    Policy: lambda value: value,  # made when the queues are known
    Declare: declaring,
    Level: log_level,
    Format: log_format,
    QueueType: queue_type,
    Any: field_value,  # only arguments have such
}
"""What makes values of the types that only configuration files have."""
