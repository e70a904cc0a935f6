"""A file of YAML, which knows the line of each value."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from typing import Any, Final

import attrs
import yaml

from .._util.field_values import DEEPEST
from .._util.shown import shown
from .errors import ConfigurationError, Path, Problem
from .structure import IN_QUOTES, described

MAX_SIZE: Final = 1024 * 1024
"""Bytes that a file may have."""
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, if there
_MAX_NODES: Final = 100_000
"""Values that a file may have, aliases counted each time."""
_MERGE: Final = "tag:yaml.org,2002:merge"
_KINDS: Final = {"int": "a whole number", "float": "a number", "timestamp": "a date"}
_HINTS: Final = {
    "found undefined alias": (
        "found undefined alias; a text that begins with * needs quotes"
    ),
    "cannot start any token": (
        "found a character that cannot start a value; indent by spaces, not tabs, and "
        "put a text that begins with @, ` or % in quotes"
    ),
}
"""What to say of errors that contain these words."""


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
    except (OSError, ValueError) as error:  # ValueError: its name has a zero byte
        text = getattr(error, "strerror", None) or str(error)
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
    text = _checked(data if isinstance(data, str) else _decoded(data, file), file)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise ConfigurationError(file, [Problem((), "is empty")])
            found = _Values(loader, file)
            found.visit(node, (), node.start_mark.line + 1)
            value = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise _error(file, _why(error), line) from None
    except RecursionError:
        raise _error(file, "is no YAML: it is nested too deeply") from None
    if not isinstance(value, dict):
        raise _error(file, "must be a mapping, as in 'broker: amqp://localhost'", 1)
    return Document(file, value, found.lines)


def _decoded(data: bytes, file: str) -> str:
    """Return the text of a file: UTF-8, or UTF-16 with the mark of that."""
    is_utf16 = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _error(file, "is not UTF-8: save it as UTF-8", line) from None


def _checked(text: str, file: str) -> str:
    """Refuse the characters that YAML does not allow."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if found is None:
        return text
    line = text.count("\n", 0, found.start()) + 1
    shown = f"U+{ord(found.group()):04X}"
    raise _error(file, f"is no YAML: unacceptable character {shown}", line)


def _why(error: yaml.MarkedYAMLError) -> str:
    """Say what is no YAML, without a word of the file, which may be a password."""
    why = error.problem or error.context or ""
    told = (text for words, text in _HINTS.items() if words in why)
    return f"is no YAML: {next(told, why)}"


class _Values:
    """
    The values of a file, each visited before it is constructed.

    @param loader: constructs them.
    @ivar lines: the line of each, by its path.
    """

    def __init__(self, loader: Any, file: str) -> None:
        self._loader = loader
        self._file = file
        self._around: list[yaml.Node] = []
        self._left = _MAX_NODES
        self.lines: dict[Path, int] = {}

    def visit(self, node: yaml.Node, path: Path, line: int) -> None:
        """
        Note the line of a value, and those of the values in it.

        @raise ConfigurationError: it is more than plain; the text shows no value.
        """
        self.lines.setdefault(path, line)
        self._left -= 1
        if self._left < 0:
            text = f"has more than {_MAX_NODES:,} values"
            raise _error(self._file, text, self.lines[()])
        if node.tag not in _Loader.yaml_constructors:
            text = "has a tag that is not known; a text that begins with ! needs quotes"
            raise _error(self._file, text, line, path)
        if any(each is node for each in self._around):
            raise _error(self._file, "contains itself, by its alias", line, path)
        if len(self._around) > DEEPEST:
            raise _error(self._file, "is nested too deeply", line)
        self._around.append(node)
        if isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self.visit(item, (*path, number), item.start_mark.line + 1)
        else:
            self._construct(node, path)
        self._around.pop()

    def _visit_mapping(self, node: yaml.MappingNode, path: Path) -> None:
        known: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == _MERGE:
                merged.append(value)
                continue
            name = self._name(key, path)
            if name in known:
                text = f"is here a second time; the first is in line {known[name]}"
                raise _error(self._file, text, line, (*path, name))
            known[name] = line
            self.visit(value, (*path, name), line)
        for value in merged:
            # After the others, which take precedence.
            self._visit_merged(value, path)

    def _visit_merged(self, node: yaml.Node, path: Path) -> None:
        """Visit what an alias adds to a mapping."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for each in parts:
            self.visit(each, path, each.start_mark.line + 1)

    def _name(self, key: yaml.Node, path: Path) -> str:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise _error(self._file, "a key must be a plain word", line, path)
        name = self._construct(key, path)
        if not isinstance(name, str):
            text = f"a key must be a text; YAML reads {shown(key.value)} as "
            text += f"{described(name)}: put it in quotes"
            raise _error(self._file, text, line, path)
        return name

    def _construct(self, node: yaml.Node, path: Path) -> object:
        """Construct a value, so that an error has its path."""
        try:
            value: object = self._loader.construct_object(node)
        except yaml.YAMLError:
            raise
        except Exception:  # those of Python, such as a month must be in 1..12
            kind = node.tag.rpartition(":")[2]
            text = f"cannot be read as {_KINDS.get(kind, kind)}: "
            line = node.start_mark.line + 1
            raise _error(self._file, text + IN_QUOTES, line, path) from None
        if type(value) is int and not -(2**63) <= value < 2**63:
            text = "is too large a number: it has more than 64 bits"
            raise _error(self._file, text, node.start_mark.line + 1, path)
        return value


def _error(file: str, text: str, line: int = 0, path: Path = ()) -> ConfigurationError:
    return ConfigurationError(file, [Problem(path, text, line)])
