"""
Write the arguments of the public classes and functions into the pages of the reference:
C{python -m tests.documentation.entities}.

A page has a line C{.. begin class NAME} or C{.. begin function NAME} and a line
C{.. end NAME} for each; what is between them comes from signatures and docstrings.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs

from tests.documentation import docstrings
from tests.documentation.arguments import EVERYWHERE, where
from tests.support.paths import DOCS
from txkombu import Consumer
from txkombu.simple import SimpleQueue
from txkombu.testing import BrokerMixin

WIDTH: Final = 88
FOLDER: Final = DOCS / "reference"
_PLACE: Final = re.compile(
    r"^\.\. begin (class|function) (\S+)\n.*?^\.\. end \2\n", re.MULTILINE | re.DOTALL
)

BETWEEN_LAYERS: Final[Mapping[str, str]] = {
    "BrokerConnection": "core lend_channel",
    "Channel": "core default_channel lend_channel",
    "Exchange": "describe",
    "Queue": "declared describe rename",
    "Consumer": (
        "channel_closed hand_back observe_handling start_if_untouched stop_handling"
    ),
    "RPCServer": "receive",
    "Message": (
        "count_in failure_record headers_or_empty identity is_lost_by_requeues "
        "is_returnable let_go note_failure observe_settlement properties_or_empty "
        "settled_by_other use_failure_record acks_at_begin move_to"
    ),
    "PublisherService": "lend_channel",
    "ConsumerService": "glance",
}
"""What only other parts of the library call, by class."""

DESCRIBED_BASES: Final = (Consumer, BrokerMixin, SimpleQueue)
"""Classes with sections of their own, to which those of their subclasses refer."""

NOT_MADE: Final = ("Message", "Binding", "ConfigurationError", "Plan", "Problem")
"""Classes that programs do not make, so that their arguments are of no use."""

_TYPES: Final[Mapping[str, str]] = {
    "ChannelLender": "Channel | BrokerConnection",
    "ChannelSource": "Channel | BrokerConnection",
    "Callback": "Callable[[Any, Message], object]",
    "OnError": "Callable[[Exception, float], object]",
    "OnReturn": "Callable[[Exception, str, str, Returned], object]",
    "FailurePolicy | HostedPolicy": "FailurePolicy",
    "HostedPolicy": "FailurePolicy",
    "PasswordSource": "Callable[[], object] | Deferred[str]",
    "ConsumeMiddleware": "Callable[[Callable, Any, Message], object]",
    "PublishMiddleware": "Callable[[Callable, object, dict[str, Any]], object]",
    "Hostable": "Callable[..., object]",
    "Pausable": "IPushProducer",
    "Compress": "Callable[[bytes], bytes]",
    "Decompress": "Callable[[bytes, int], bytes]",
    "Encoder": "Callable[..., str | bytes]",
    "Decoder": "Callable[..., object]",
    "queue.Queue": "Queue",
    "Path": "tuple[str | int, ...]",
    "Destination": "object",
}
"""Names of types that are not public, and what they stand for."""
_NO_DEFAULT: Final = "required"


def names_of_others(name: str) -> list[str]:
    """
    Return what only other parts of the library call on a class.

    @param name: the class's.
    """
    return BETWEEN_LAYERS.get(name, "").split()


@attrs.frozen
class Parameter:
    """One line of a table."""

    name: str
    type: str
    default: str
    where: str
    meaning: str


def described(path: str) -> Any:
    """
    Import what a page describes.

    @param path: such as C{txkombu.Queue}.
    """
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


# --- parameters ---------------------------------------------------------------


def parameters_of(
    function: Callable[..., object], said: Mapping[str, str], path: str, owner: object
) -> list[Parameter]:
    """
    Return the parameters of a function, in their order.

    @param said: what is said of each.
    @param path: begins their names in L{tests.documentation.arguments}.
    @param owner: the class whose attributes are the defaults where the signature has
        C{None}; another object if there is none.
    """
    return [
        Parameter(
            shown_name(each),
            shown_type(each.annotation),
            shown_default(each, owner),
            where(f"{path}.{name}"),
            said[name],
        )
        for name, each in inspect.signature(function).parameters.items()
        if name not in ("self", "cls") and not name.startswith("_")
    ]


def shown_name(parameter: inspect.Parameter) -> str:
    """Return a parameter's name, with the stars of those that take any number."""
    stars: dict[object, str] = {
        parameter.VAR_POSITIONAL: "*",
        parameter.VAR_KEYWORD: "**",
    }
    return f"``{stars.get(parameter.kind, '')}{parameter.name}``"


def shown_type(annotation: object) -> str:
    """Return a type as code."""
    if annotation is inspect.Parameter.empty:
        return ""
    # Written as a string in a module, or by NamedTuple.
    written = getattr(annotation, "__forward_arg__", annotation)
    text = str(written)
    if not isinstance(written, str):
        text = inspect.formatannotation(written)
    text = re.sub(r"^ClassVar\[(.*)\]$", r"\1", text)
    for own, public in _TYPES.items():
        text = re.sub(rf"(?<![\w.]){re.escape(own)}\b", public, text)
    return f"``{text}``"


def shown_default(parameter: inspect.Parameter, owner: object) -> str:
    """Return the value that a parameter has if it is not given."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return ""
    if parameter.default is attrs.NOTHING:  # made for each object; the text says it
        return ""
    if parameter.default is parameter.empty:
        return _NO_DEFAULT
    value = parameter.default
    if value is None and inspect.isclass(owner):
        value = _attribute(owner, parameter.name)
    return f"``{shown_value(value)}``"


def _attribute(owner: type, name: str) -> object:
    """Return a class attribute that is a plain value, or C{None}."""
    value = inspect.getattr_static(owner, name, None)
    no_value = inspect.isroutine(value) or inspect.isdatadescriptor(value)
    return None if no_value else value


def shown_value(value: object) -> str:
    """Return a value as one would write it."""
    if type(value).__name__ == "RetryPolicy":
        return "retry()"
    named = getattr(value, "__name__", None) or getattr(value, "name", None)
    written = repr(dict(value) if isinstance(value, Mapping) else value)
    return str(named) if named and written.startswith("<") else written


# --- tables -------------------------------------------------------------------


def wrapped(text: str, indent: str = "") -> str:
    """
    Return a paragraph in lines of the documents' width.

    @param indent: begins each line but the first.
    """
    return textwrap.fill(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def paragraphs(text: str) -> str:
    """Return several paragraphs in lines of the documents' width."""
    return "\n\n".join(map(wrapped, text.split("\n\n")))


def list_table(
    head: Sequence[str], widths: Sequence[int], rows: list[list[str]]
) -> str:
    """Return a table whose cells may be long."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        f"   :widths: {' '.join(map(str, widths))}",
        "",
    ]
    for row in [list(head), *rows]:
        for number, cell in enumerate(row):
            mark = "*" if not number else " "
            lines.append(wrapped(f"   {mark} - {cell}", " " * 7))
    return "\n".join(lines)


def parameter_table(parameters: list[Parameter]) -> str:
    """Return the table of parameters, in three columns, which a phone has room for."""
    rows = [
        [each.name, _typed(each), _sentence(each.meaning) + _restricted(each.where)]
        for each in parameters
    ]
    return list_table(["argument", "type, default", "meaning"], [22, 28, 50], rows)


def _typed(parameter: Parameter) -> str:
    return ", ".join(filter(None, (parameter.type, parameter.default)))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _restricted(place: str) -> str:
    return "" if place == EVERYWHERE else f" *Brokers:* {place}."


# --- classes and functions ------------------------------------------------------


def function_block(path: str) -> str:
    """Return the section of a function."""
    found, name = described(path), path.rpartition(".")[2]
    return "\n\n".join(_function(name, found, None, "-"))


def _function(
    path: str, function: Callable[..., object], owner: object, line: str
) -> Iterator[str]:
    said = docstrings.read(function.__doc__)
    title = f"``{path}``"
    yield f"{title}\n{line * len(title)}"
    yield paragraphs(said.text)
    if where(path) != EVERYWHERE:
        yield wrapped(f"*Brokers:* {where(path)}.")
    parameters = parameters_of(function, said.parameters, path, owner)
    if parameters:
        yield parameter_table(parameters)
    if said.result:
        yield wrapped(f"*Returns:* {said.result}")
    for error, when in said.raised.items():
        yield wrapped(f"*Raises* ``{error}``: {when}")


def class_block(path: str) -> str:
    """Return the section of a class."""
    return "\n\n".join(_class(path))


def _class(path: str) -> Iterator[str]:
    found, name = described(path), path.rpartition(".")[2]
    yield f"{name}\n{'-' * len(name)}"
    said = docstrings.read(found.__doc__)
    yield paragraphs(said.text)
    if where(name) != EVERYWHERE:
        yield wrapped(f"*Brokers:* {where(name)}.")
    constructor = constructor_of(found)
    given: list[Parameter] = []
    if constructor is not None and name not in NOT_MADE:
        given = parameters_of(constructor, said_of_class(found), name, found)
    if given:
        yield parameter_table(given)
    for base in found.__mro__[1:]:
        if base in DESCRIBED_BASES:
            yield f"It has the attributes and methods of ``{base.__name__}``, too."
    members = members_of(found)
    hidden = [*names_of_others(name), *(each.name.strip("`") for each in given)]
    shown = [each for each in members if each not in hidden]
    attributes = [
        [f"``{each}``", *_attribute_row(found, members[each], each)]
        for each in shown
        if not _is_method(members[each])
    ]
    if attributes:
        title = f"Attributes of {name}"
        yield f"{title}\n{'~' * len(title)}"
        yield list_table(["attribute", "type", "meaning"], [24, 26, 50], attributes)
    for each in shown:
        if _is_method(members[each]):
            yield from _method(name, each, members[each])
    others = [each for each in names_of_others(name) if each in members]
    if others:
        listed = ", ".join(f"``{each}``" for each in others)
        yield wrapped(f"Only other parts of txkombu use these: {listed}.")


def constructor_of(found: type) -> Callable[..., object] | None:
    """Return the constructor that a class has from this library, if it has one."""
    constructor: Any = found.__init__  # type: ignore[misc]  # of this class
    if not inspect.isfunction(constructor):
        return None
    return constructor if constructor.__module__.startswith("txkombu") else None


def said_of_class(found: type) -> dict[str, str]:
    """Return what a class, its constructor and its bases say of the arguments."""
    said: dict[str, str] = {}
    for each in reversed(found.__mro__):
        if each.__module__.startswith("txkombu"):
            for text in (each.__doc__, each.__init__.__doc__):  # type: ignore[misc]
                parts = docstrings.read(text)
                said |= {**parts.attributes, **parts.parameters}
    return said


def members_of(found: type) -> dict[str, object]:
    """
    Return the public methods, properties and documented variables of a class, by name,
    without those of a base that has a section of its own.
    """
    members: dict[str, object] = {}
    for each in reversed(found.__mro__):
        described_elsewhere = each is not found and each in DESCRIBED_BASES
        if not each.__module__.startswith("txkombu") or described_elsewhere:
            continue
        members |= dict.fromkeys(docstrings.read(each.__doc__).attributes)
        for name, value in vars(each).items():
            known = isinstance(value, property) or _is_method(value)
            if known and not name.startswith("_"):
                members[name] = value
    return members


def _is_method(value: object) -> bool:
    return inspect.isroutine(value) or isinstance(value, classmethod | staticmethod)


def _attribute_row(found: type, value: object, name: str) -> tuple[str, str]:
    if isinstance(value, property):
        said = docstrings.read(value.fget.__doc__)
        type_ = inspect.signature(value.fget).return_annotation  # type: ignore[arg-type]
        errors = "".join(f" Raises ``{e}``: {w}" for e, w in said.raised.items())
        return shown_type(type_), said.text.replace("\n\n", " ") + errors
    for each in found.__mro__:
        said = docstrings.read(each.__doc__)
        if name in said.attributes:
            meaning = _sentence(said.attributes[name])
            return shown_type(_annotation(found, name)), meaning
    raise LookupError(f"{found.__name__}.{name} is not documented")


def _annotation(found: type, name: str) -> object:
    for each in found.__mro__:
        annotations = inspect.get_annotations(each)
        if name in annotations:
            return annotations[name]
    return inspect.Parameter.empty


def _method(owner: str, name: str, value: object) -> Iterator[str]:
    function: Any = getattr(value, "__func__", value)
    if function.__name__ != name:
        title = f"``{owner}.{name}``"
        yield f"{title}\n{'~' * len(title)}"
        yield f"Another name of ``{function.__name__}``."
    else:
        yield from _function(f"{owner}.{name}", function, None, "~")


# --- pages --------------------------------------------------------------------


def filled(page: str) -> str:
    """Return a page with all its blocks as they should be."""

    def block(found: re.Match[str]) -> str:
        kind, path = found.groups()
        make = class_block if kind == "class" else function_block
        return f".. begin {kind} {path}\n\n{make(path)}\n\n.. end {path}\n"

    return _PLACE.sub(block, page)


def described_in(page: str) -> list[str]:
    """Return what a page has blocks of."""
    return [found.group(2) for found in _PLACE.finditer(page)]


def pages() -> list[Path]:
    """Return the pages that have such blocks."""
    return [
        path
        for path in sorted(FOLDER.glob("*.rst"))
        if described_in(path.read_text(encoding="utf-8"))
    ]


if __name__ == "__main__":
    for path in pages():
        text = path.read_text(encoding="utf-8")
        path.write_text(filled(text), encoding="utf-8")
