"""
The reference of classes and functions has every argument, as it is in the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from docutils import nodes
from twisted.trial.unittest import SynchronousTestCase

from tests.documentation import docstrings, entities
from tests.documentation.arguments import EVERYWHERE, NEEDS, NOTES, where
from tests.packaging.test_layout import PUBLIC
from tests.support.paths import DOCS
from tests.support.snippets import PageTestCase, parse

DESCRIBED: Final = (
    "txkombu",
    "txkombu.configuration",
    "txkombu.connection",
    "txkombu.policy",
    "txkombu.rpc",
    "txkombu.service",
    "txkombu.monitoring",
    "txkombu.simple",
    "txkombu.testing",
    "txkombu.transport",
    "txkombu.transport.memory",
    "txkombu.url",
)
"""The modules of which every class and function has a section."""
PAGES: Final = (
    "reference/broker_connection.rst",
    "reference/building_blocks.rst",
    "reference/consumer.rst",
    "reference/entities.rst",
    "reference/formats.rst",
    "reference/message.rst",
    "reference/policies.rst",
    "reference/producer.rst",
    "reference/rpc_classes.rst",
    "reference/service_classes.rst",
    "reference/test_tools.rst",
)
ELSEWHERE: Final = {
    "txkombu.Connection": "another name of BrokerConnection",
    "txkombu.rpc.RemoteError": "errors.rst",
    "txkombu.simple.Empty": "an exception of the standard library",
}
UNITS: Final = re.compile(
    r"seconds|bytes|how (many|often|long)|number|the most|maximum|priority|"
    r"the part of|times as long|port|exits|transport's|longest|0 to|stream_offset|"
    r"``max_priority``|persistent|by default 2|ignored|"
    r"as of ``decode``",
    re.IGNORECASE,
)
"""What says what a number counts."""


def described() -> list[str]:
    """Return all that the pages have blocks of."""
    return [
        each
        for path in entities.pages()
        for each in entities.described_in(path.read_text(encoding="utf-8"))
    ]


def functions() -> Iterator[tuple[str, Any, Any]]:
    """Give each function of the pages: its name, itself, and its class."""
    for path in described():
        found, name = entities.described(path), path.rpartition(".")[2]
        if not inspect.isclass(found):
            yield name, found, None
            continue
        constructor = entities.constructor_of(found)
        if name not in entities.NOT_MADE and constructor is not None:
            yield name, constructor, found
        hidden = entities.names_of_others(name)
        for method, value in entities.members_of(found).items():
            function = getattr(value, "__func__", value)
            if inspect.isfunction(function) and method not in hidden:
                yield f"{name}.{method}", function, None


def table_of(section: nodes.section) -> list[list[str]]:
    """Return the rows of the table that stands directly in a section."""
    return [
        [entry.astext().replace("\n", " ") for entry in row.findall(nodes.entry)]
        for table in section.children
        if isinstance(table, nodes.table)
        for body in table.findall(nodes.tbody)
        for row in body.findall(nodes.row)
    ]


class EntitiesTests(SynchronousTestCase):
    """The pages of the reference, and the code."""

    def test_written(self) -> None:
        """The pages have what signatures and docstrings say."""
        for path in entities.pages():
            page = path.read_text(encoding="utf-8")
            self.assertEqual(
                page,
                entities.filled(page),
                "python -m tests.documentation.entities writes it",
            )

    def test_complete(self) -> None:
        """Every class and function that programs use has a section."""
        wanted = {
            f"{module}.{name}"
            for module in DESCRIBED
            for name in PUBLIC[module].split()
            for found in [getattr(import_module(module), name)]
            if (module, name) != ("txkombu.connection", "BrokerConnection")  # txkombu's
            if inspect.isclass(found) or inspect.isfunction(found)
        }
        self.assertEqual(
            wanted - set(described()),
            set(ELSEWHERE),
            "lines '.. begin class NAME' and '.. end NAME' on a page give it a section",
        )
        self.assertEqual(len(described()), len(set(described())))
        pages = [path.relative_to(DOCS).as_posix() for path in entities.pages()]
        self.assertEqual(pages, list(PAGES))

    def test_parameters(self) -> None:
        """
        A table has the parameters of its function, in order, each with its type and
        its default.
        """
        tables = {
            str(section.next_node(nodes.title).astext()): table_of(section)  # type: ignore[union-attr]
            for path in entities.pages()
            for section in parse(path.read_text(encoding="utf-8")).findall(
                nodes.section
            )
        }
        checked = 0
        for name, function, owner in functions():
            wanted = [
                each
                for each in inspect.signature(function).parameters.values()
                if each.name not in ("self", "cls") and not each.name.startswith("_")
            ]
            rows = tables.get(name, [])
            self.assertEqual(
                [row[0].lstrip("*") for row in rows], [each.name for each in wanted]
            )
            for row, parameter in zip(rows, wanted, strict=True):
                self.assertTrue(row[1], f"{name}: {row[0]} has no type")
                default = row[1].removeprefix(
                    entities.shown_type(parameter.annotation).strip("`")
                )
                self._check_default(name, default.lstrip(", "), parameter, owner)
                checked += 1
        self.assertGreater(checked, 250)

    def _check_default(
        self, name: str, shown: str, parameter: inspect.Parameter, owner: Any
    ) -> None:
        value = parameter.default
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            self.assertEqual(shown, "")
        elif value is parameter.empty:
            self.assertEqual(shown, "required", f"{name}: {parameter.name}")
        else:
            if value is None and owner is not None:
                value = inspect.getattr_static(owner, parameter.name, None)
                value = None if inspect.isdatadescriptor(value) else value
            written = repr(dict(value) if isinstance(value, Mapping) else value)
            known = {written, getattr(value, "__name__", ""), "retry()"}
            self.assertIn(shown, known, f"{name}: {parameter.name}")

    def test_units(self) -> None:
        """A parameter that is a number says what it counts, and in which unit."""
        unclear = [
            f"{name}: {each.name}"
            for name, function, owner in functions()
            for each in entities.parameters_of(
                function,
                entities.said_of_class(owner)
                if owner is not None
                else docstrings.read(function.__doc__).parameters,
                name,
                owner,
            )
            if re.search(r"\b(float|int)\b", each.type)
            and "Callable" not in each.type
            and not UNITS.search(each.meaning)
        ]
        self.assertEqual(unclear, [])

    def test_brokers(self) -> None:
        """What is said of brokers is said of methods and arguments that exist."""
        known = set()
        for name, function, _ in functions():
            known.add(name)
            known |= {
                f"{name}.{each}" for each in inspect.signature(function).parameters
            }
        self.assertLessEqual({*NEEDS, *NOTES}, known)
        self.assertEqual({*NEEDS} & {*NOTES}, set())

    def test_where(self) -> None:
        """Where an argument works comes from the table of capabilities."""
        self.assertEqual(where("Producer.publish.mandatory"), "not ``stomp``")
        self.assertEqual(where("Queue.max_length"), "not ActiveMQ")
        self.assertEqual(where("Queue.no_ack"), EVERYWHERE)

    def test_between_layers(self) -> None:
        """What only other parts of the library call exists."""
        for path in described():
            name = path.rpartition(".")[2]
            found = entities.described(path)
            for each in entities.names_of_others(name):
                known = each in entities.members_of(found) or hasattr(found, each)
                self.assertTrue(known, f"{name}.{each}")


class DocstringTests(SynchronousTestCase):
    """How docstrings become reStructuredText."""

    def test_parts(self) -> None:
        """The text, the parameters, the result and the errors are told apart."""
        read = docstrings.read(
            """
            Do it,
            now.

            @param one: C{1}, of
                L{txkombu.policy.retry}.
            @param two: see L{this<txkombu.Queue.get>}.
            @return: I{nothing}.
            @raise ValueError: never.
            """
        )
        self.assertEqual(read.text, "Do it, now.")
        self.assertEqual(
            read.parameters, {"one": "``1``, of ``retry``.", "two": "see this."}
        )
        self.assertEqual(read.result, "*nothing*.")
        self.assertEqual(read.raised, {"ValueError": "never."})

    def test_markup(self) -> None:
        """What means something in reStructuredText is escaped; code is not."""
        self.assertEqual(
            docstrings.restructured("a*b of name_ is C{a*b} or C{f({1: 2})}"),
            "a\\*b of name\\_ is ``a*b`` or ``f({1: 2})``",
        )


class SnippetTests(PageTestCase):
    """The examples of these pages run."""

    async def test_pages(self) -> None:
        """Each page begins with a program that runs."""
        for path in entities.pages():
            count = await self.run_text(path.read_text(encoding="utf-8"))
            self.assertGreater(count, 0, path.name)
