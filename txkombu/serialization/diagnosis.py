"""Errors of serializers: which part of a value is at fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator

_DEEPEST = 20
_KEY_SHOWN = 40


def path_to_unserializable(encoder: Callable[[object], object], value: object) -> str:
    """
    Find the part of a value that an encoder fails for.

    It encodes each part by itself, then each part of the first that fails, and so on;
    this takes the time of several encodings.

    @return: such as C{"['a'][3]"}; C{""} if it is the value itself, or is not found.
    """
    path: list[str] = []
    seen = {id(value)}
    while len(path) < _DEEPEST:
        found = next((part for part in _parts(value) if _fails(encoder, part[1])), None)
        if found is None:
            break
        key, value = found
        shown = repr(key)
        path.append(f"[{shown[:_KEY_SHOWN]}{'…' if len(shown) > _KEY_SHOWN else ''}]")
        if id(value) in seen:
            break
        seen.add(id(value))
    return "".join(path)


def _parts(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def _fails(encoder: Callable[[object], object], part: object) -> bool:
    try:
        encoder(part)
    except Exception:
        return True
    return False
