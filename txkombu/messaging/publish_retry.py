"""
Kombu's C{retry_policy}: how often a message is sent again after a loss.
"""

from __future__ import annotations

from collections.abc import Mapping

from .._util.suggestions import did_you_mean
from .._util.validation import check_count, check_seconds

_INTERVALS = ("interval_start", "interval_step", "interval_max")
_KEYS = ("max_retries", *_INTERVALS)


def max_retries(policy: Mapping[str, object] | None) -> float:
    """
    Return how often a message may be sent again.

    The intervals are checked only: the connection's C{reconnect} has the waits, since
    nothing can be sent before there is another session.

    @param policy: Kombu's dict; C{None}, and no C{max_retries}, is without limit.
    @raise TypeError: it is no mapping, or has an unknown key, or a wrong type.
    @raise ValueError: a value is out of range.
    """
    if policy is None:
        return float("inf")
    if not isinstance(policy, Mapping):
        raise TypeError(f"retry_policy must be a dict, not {policy!r}")
    for key, value in policy.items():
        if key not in _KEYS:
            hint = did_you_mean(str(key), _KEYS) or f"it has {', '.join(_KEYS)}"
            raise TypeError(f"retry_policy has no key {key!r}; {hint}")
        if key in _INTERVALS:
            check_seconds(f"retry_policy[{key!r}]", value)
    limit = check_count("retry_policy['max_retries']", policy.get("max_retries"))
    return float("inf") if limit is None else limit
