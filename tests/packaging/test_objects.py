"""
An attribute is set only in the file that declares it.

An attribute is declared where a class names it in its body, or sets it on C{self}.  A
name that no class of the library declares belongs to an object of another library, and
is not looked at.  The lint rule SLF001 does the rest: no object reaches into another's
underscore.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.packaging.test_layout import LIBRARY
from tests.support.paths import CHECKOUT

Sources = Mapping[str, ast.Module]

OWN: Final = ("self", "cls")


def sources() -> Sources:
    """Return the modules of the library, by their paths in the checkout."""
    return {
        str(path.relative_to(CHECKOUT)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(LIBRARY.rglob("*.py"))
    }


def classes(module: ast.AST) -> list[ast.ClassDef]:
    """Return the classes of a module, nested ones included."""
    return [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]


def assigned(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Give the attributes that are set anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node


def is_own(node: ast.Attribute) -> bool:
    """Return whether an attribute is one of C{self} or C{cls}."""
    return isinstance(node.value, ast.Name) and node.value.id in OWN


def declared(of: ast.ClassDef) -> set[str]:
    """Return the names that a class declares, methods and properties included."""
    methods = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = {each.name for each in of.body if isinstance(each, methods)}
    return names | in_body(of) | {node.attr for node in assigned(of) if is_own(node)}


def in_body(of: ast.ClassDef) -> set[str]:
    """Return the names that the body of a class annotates or sets."""
    return {
        node.id
        for each in of.body
        if isinstance(each, ast.AnnAssign | ast.Assign)
        for node in ast.walk(each)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def foreign(modules: Sources) -> Iterator[str]:
    """
    Name each assignment to an attribute that only classes of other files declare.

    @param modules: all modules in which attributes are declared.
    """
    by_file = {
        path: set[str]().union(*(declared(each) for each in classes(module)))
        for path, module in modules.items()
    }
    ours = set[str]().union(*by_file.values())
    for path, module in modules.items():
        others = ours - by_file[path]
        for node in assigned(module):
            if node.attr in others and not is_own(node):
                yield f"{path}:{node.lineno} sets {ast.unparse(node)}"


def inherited(modules: Sources) -> Iterator[str]:
    """
    Name each assignment to an attribute of C{self} that only a base in another file
    declares.

    @param modules: all modules in which classes are defined.
    """
    by_name: dict[str, list[tuple[str, ast.ClassDef]]] = {}
    for path, module in modules.items():
        for each in classes(module):
            by_name.setdefault(each.name, []).append((path, each))
    for name, found in by_name.items():
        for path, each in found:
            others = [base for there, base in bases(each, by_name) if there != path]
            theirs = set[str]().union(*map(declared, others)) - in_body(each)
            for node in assigned(each):
                if node.attr in theirs and is_own(node):
                    yield f"{path}:{node.lineno} sets {node.attr} of a base of {name}"


def bases(
    of: ast.ClassDef, by_name: Mapping[str, list[tuple[str, ast.ClassDef]]]
) -> Iterator[tuple[str, ast.ClassDef]]:
    """Give the classes that a class inherits from, and their files."""
    for base in of.bases:
        named = base.value if isinstance(base, ast.Subscript) else base
        for path, found in by_name.get(ast.unparse(named), []):
            yield path, found
            yield from bases(found, by_name)


class AssignmentTests(SynchronousTestCase):
    """No object has its attributes set by another file."""

    def test_none(self) -> None:
        """Each attribute is set in a file that declares it."""
        self.assertEqual(list(foreign(sources())), [])

    def test_found(self) -> None:
        """An assignment from another file is found, in whichever form."""
        owner = ast.parse(
            "class Owner:\n"
            "    state = None\n"
            "    count: int\n"
            "    def __init__(self):\n"
            "        self.name = ''\n"
        )
        for line in (
            "owner.state = 1",
            "owner.part.count += 1",
            "owner.name, other = 1, 2",
            "owners[0].name = 1",
            "for owner.name in names: pass",
        ):
            user = ast.parse(f"def use(owner):\n    {line}\n")
            found = list(foreign({"owner.py": owner, "user.py": user}))
            self.assertEqual(len(found), 1, line)
            self.assertTrue(found[0].startswith("user.py:2 sets "), found[0])

    def test_allowed(self) -> None:
        """An attribute of the same file's class, or of another library's, is not."""
        module = ast.parse(
            "class Owner:\n"
            "    def __init__(self):\n"
            "        self.name = ''\n"
            "def make():\n"
            "    owner = Owner()\n"
            "    owner.name = 1\n"
            "    owner.socket.theirs = 2\n"
        )
        self.assertEqual(list(foreign({"owner.py": module})), [])


class InheritanceTests(SynchronousTestCase):
    """No subclass sets what its base declares; it calls a method of the base."""

    def test_none(self) -> None:
        """Each class sets only attributes that no base in another file declares."""
        self.assertEqual(list(inherited(sources())), [])

    def test_found(self) -> None:
        """An assignment to what the base of a base declares is found."""
        owner = ast.parse(
            "class Owner:\n"
            "    def __init__(self):\n"
            "        self.state = 0\n"
            "class Between(Owner):\n"
            "    pass\n"
        )
        user = ast.parse(
            "class User(Between[int]):\n"
            "    def begin(self):\n"
            "        self.state = 1\n"
            "        self.other = 2\n"
        )
        found = list(inherited({"owner.py": owner, "user.py": user}))
        self.assertEqual(found, ["user.py:3 sets state of a base of User"])
        both = ast.Module([*owner.body, *user.body], [])
        self.assertEqual(list(inherited({"owner.py": both})), [])
