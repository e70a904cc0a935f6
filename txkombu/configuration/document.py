"""A file of YAML, which knows the line of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import yaml

from .errors import ConfigurationError, Path, Problem

MAX_SIZE: Final = 1024 * 1024
"""Bytes that a file may have."""
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, if there
_MAX_NODES: Final = 100_000
"""Values that a file may have, aliases counted each time."""


@attrs.frozen
class Document:
    """
    The value of a file.

    @ivar file: the name of the file.
    @ivar value: a mapping, by plain keys, of plain values.
    @ivar lines: the line of each value, by its path.
    """

    file: str
    value: Mapping[str, Any]
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a value, or of the nearest that it would be in."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, *problems: Problem) -> ConfigurationError:
        """Return an error with these faults, each with its line."""
        found = (attrs.evolve(each, line=self.line(each.path)) for each in problems)
        return ConfigurationError(self.file, found)


def read_document(file: str) -> Document:
    """
    Read a file.

    @raise ConfigurationError: it cannot be read, is not YAML, or is no mapping.
    """
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_SIZE + 1)
    except OSError as error:
        text = error.strerror or str(error)
        raise ConfigurationError(
            file, [Problem((), f"cannot be read: {text}")]
        ) from None
    if len(data) > MAX_SIZE:
        text = f"has more than {MAX_SIZE:,} bytes"
        raise ConfigurationError(file, [Problem((), text)])
    return parse_document(data, file)


def parse_document(data: bytes | str, file: str) -> Document:
    """
    Read YAML.

    @param file: the name of the file, for errors.
    @raise ConfigurationError: it is not YAML, or is no mapping.
    """
    try:
        loader = _Loader(data)
        try:
            node = loader.get_single_node()
            if node is None:
                raise ConfigurationError(file, [Problem((), "is empty")])
            lines: dict[Path, int] = {}
            for path, line in _walk(node, (), file):
                lines[path] = line
                if len(lines) > _MAX_NODES:
                    raise _wrong(file, node, f"has more than {_MAX_NODES:,} values")
            value = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        problem = Problem((), f"is no YAML: {error.problem or error.context}", line)
        raise ConfigurationError(file, [problem]) from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        text = " ".join(str(error).split())
        raise ConfigurationError(file, [Problem((), f"is no YAML: {text}")]) from None
    except RecursionError:
        text = "is no YAML: it is nested too deeply"
        raise ConfigurationError(file, [Problem((), text)]) from None
    if not isinstance(value, dict):
        raise ConfigurationError(
            file,
            [Problem((), "must be a mapping, as in 'broker: amqp://localhost'", 1)],
        )
    return Document(file, value, lines)


def _walk(node: yaml.Node, path: Path, file: str) -> Iterator[tuple[Path, int]]:
    """Yield the path and the line of each value; refuse keys that are not plain."""
    if not path:
        yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        known: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong(file, key, "a key must be a plain word", path)
            name = key.value
            if name in known and key.tag != "tag:yaml.org,2002:merge":
                text = f"is here a second time; the first is in line {known[name]}"
                raise _wrong(file, key, text, (*path, name))
            known[name] = key.start_mark.line + 1
            yield (*path, name), known[name]
            yield from _walk(value, (*path, name), file)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield (*path, number), item.start_mark.line + 1
            yield from _walk(item, (*path, number), file)


def _wrong(
    file: str, node: yaml.Node, text: str, path: Path = ()
) -> ConfigurationError:
    return ConfigurationError(file, [Problem(path, text, node.start_mark.line + 1)])
