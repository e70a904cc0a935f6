"""docs/reference/kombu-names.rst has every public name of Kombu, and ours for it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

import txkombu
from tests.documentation.kombu_names import (
    ABSENT,
    EVERYWHERE,
    SAME,
    Row,
    dotted,
    members_of,
    modules,
    names_in,
    names_of_class,
    ours,
    parameters_of,
    rows,
    takes,
)

CLASSES: Final = {
    "kombu.Connection",
    "kombu.Consumer",
    "kombu.Exchange",
    "kombu.Message",
    "kombu.Producer",
    "kombu.Queue",
    "kombu.binding",
    "kombu.mixins.ConsumerMixin",
    "kombu.simple.SimpleBuffer",
    "kombu.simple.SimpleQueue",
}
"""The classes whose members the table has to list."""


class TableTests(SynchronousTestCase):
    """The table, beside the Kombu that is installed, and beside txkombu."""

    def setUp(self) -> None:
        """Read the table."""
        self.rows = rows()
        self.sections: dict[str, list[Row]] = {}
        for row in self.rows:
            self.sections.setdefault(row.section, []).append(row)
        self.everywhere = set(self.names(EVERYWHERE))

    def names(self, section: str) -> list[str]:
        """Return Kombu's names in a section."""
        return [name for row in self.sections[section] for name in row.names]

    def classes(self) -> Iterator[tuple[str, type]]:
        """Give the sections about a class, and the class."""
        for section in self.sections:
            if section != EVERYWHERE and inspect.isclass(dotted(section)):
                yield section, dotted(section)

    def counterpart(self, section: str) -> Any:
        """Return our class or module for a section."""
        if not inspect.isclass(dotted(section)):
            name = section.removeprefix("kombu").lstrip(".")
            try:
                return ours(name, txkombu) if name else txkombu
            except LookupError:
                return txkombu
        plain = section.rpartition(".")[2]
        [row] = [row for row in self.sections[section] if plain in row.names]
        return ours(row.here[0], txkombu)

    def test_classes(self) -> None:
        """The classes that programs use most have sections of their own."""
        self.assertEqual({section for section, _ in self.classes()}, CLASSES)

    def test_every_name(self) -> None:
        """Every public name of every module of Kombu is in the table."""
        own = {kind for _, kind in self.classes()}
        missing = []
        for name, module in modules().items():
            if module is None:
                package = ".".join(name.split(".")[:2])
                if name.removeprefix(f"{package}.") not in self.names(package):
                    missing.append(name)
                continue
            listed = self.names(name) if name in self.sections else []
            missing += [
                f"{name}.{each}"
                for each in names_in(module)
                if each not in listed and getattr(module, each) not in own
            ]
        self.assertEqual(missing, [])

    def test_every_member(self) -> None:
        """So is every attribute and argument of the classes with a section."""
        for section, kind in self.classes():
            listed = self.names(section)
            missing = [each for each in names_of_class(kind) if each not in listed]
            self.assertEqual(missing, [], section)

    def test_once(self) -> None:
        """No name is listed twice."""
        for section in self.sections:
            names = self.names(section)
            twice = {each for each in names if names.count(each) > 1}
            self.assertEqual(twice, set(), section)

    def test_kombus(self) -> None:
        """Every name of the first column is one of Kombu's."""
        for section in set(self.sections) - {EVERYWHERE}:
            about = dotted(section)
            for name in self.names(section):
                plain, _, parameter = name.rstrip("=)").partition("(")
                if name.endswith("="):
                    self.assertIn(name, list(names_of_class(about)), section)
                elif parameter:
                    self.assertTrue(takes(getattr(about, plain), parameter), name)
                elif not inspect.isclass(about):
                    if f"{section}.{plain}" not in modules():
                        dotted(f"{section}.{plain}")
                elif plain != section.rpartition(".")[2]:
                    known = {*members_of(about), "BrokerConnection"}
                    self.assertIn(plain, known, section)

    def test_ours(self) -> None:
        """Every name of the second column is there in txkombu."""
        for section, found in self.sections.items():
            about = txkombu if section == EVERYWHERE else self.counterpart(section)
            for row in found:
                self.assertTrue(row.here, row)
                if row.here in ([SAME], [ABSENT]):
                    continue
                for name in row.here:
                    ours(name, about)

    def test_same(self) -> None:
        """What is called the same is there, with the arguments that have no row."""
        for section in set(self.sections) - {EVERYWHERE}:
            theirs, about = dotted(section), self.counterpart(section)
            listed = set(self.names(section)) | self.everywhere
            for row in self.sections[section]:
                for name in row.names if row.here == [SAME] else ():
                    found = ours(name, about)
                    if "=" in name or not inspect.isroutine(found):
                        continue
                    left = [
                        each
                        for each in parameters_of(getattr(theirs, name))
                        if not listed & {f"{each}=", f"{name}({each}=)"}
                        and not takes(found, each)
                    ]
                    self.assertEqual(left, [], f"{section}.{name}")

    def test_absent(self) -> None:
        """What is not here under its name says why, or what to do."""
        silent = [
            row
            for row in self.rows
            if row.here == [ABSENT]
            and not row.remark
            and row.names != ["supports_librabbitmq"]
        ]
        self.assertEqual(silent, [])
