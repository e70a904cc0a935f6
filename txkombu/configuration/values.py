"""Values that are more than plain: failure policies, lists of texts, levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Final

from twisted.logger import LogLevel

from .. import policy
from .._util.suggestions import known_names
from ..entity import Queue
from ..policy import FailurePolicy
from ..policy.hosting import HostedPolicy
from .consumer_loader import function_named
from .service_file import Declare, Level, Policy, Texts
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
    if not listed or not all(isinstance(each, str) for each in listed):
        raise must_be("a text, or a list of texts", value)
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
    if value not in LEVELS:
        raise must_be(f"one of {', '.join(LEVELS)}", value)
    return str(value)


LEVELS: Final = tuple(each.name for each in LogLevel.iterconstants())

MAKERS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    Text: Text,
    Texts: texts,
    Policy: lambda value: value,  # made when the queues are known
    Declare: declaring,
    Level: log_level,
}
"""What makes values of the types that only configuration files have."""
