"""
What users call documents its parameters: every public function and method, and the
contract that transports implement.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import InterfaceClass, Method

from tests.packaging.test_layout import PUBLIC


def undocumented(name: str, found: object) -> Iterator[str]:
    """
    Name the parameters that the docstrings of a public object leave out.

    @param name: what the object is called in the answer.
    @param found: a class, an interface or a function; anything else has none.
    """
    if isinstance(found, InterfaceClass):
        for method, description in found.namesAndDescriptions():
            if isinstance(description, Method):
                yield from missing(
                    f"{name}.{method}", description.positional, description.getDoc()
                )
    elif inspect.isclass(found):
        yield from missing(name, own_parameters(found), class_doc(found))
        for method, function in inspect.getmembers(found, inspect.isroutine):
            if is_ours(function) and not method.startswith("_"):
                yield from missing(
                    f"{name}.{method}", parameters(function), inspect.getdoc(function)
                )
    elif is_ours(found) and callable(found):
        yield from missing(name, parameters(found), inspect.getdoc(found))


def is_ours(found: object) -> bool:
    """Return whether it is a function of the library."""
    module = getattr(found, "__module__", None) or ""
    return inspect.isroutine(found) and module.startswith("txkombu")


def own_parameters(found: type) -> list[str]:
    """Return the parameters of a class's constructor, if it has one of ours."""
    constructor = found.__init__  # type: ignore[misc]  # of this class, as it is now
    module = getattr(constructor, "__module__", None) or found.__module__
    if not module.startswith("txkombu") or not inspect.isfunction(constructor):
        return []
    return parameters(constructor)


def class_doc(found: type) -> str:
    """Return what a class and its constructor say, those of its bases included."""
    ours = (each for each in found.__mro__ if each.__module__.startswith("txkombu"))
    texts = (f"{each.__doc__ or ''}\n{each.__init__.__doc__ or ''}" for each in ours)  # type: ignore[misc]  # as above
    return "\n".join(texts)


def parameters(function: Callable[..., object]) -> list[str]:
    """Return the names of a function's parameters, but for C{self} and private ones."""
    names = inspect.signature(function).parameters
    return [each for each in names if each != "self" and not each.startswith("_")]


def missing(name: str, names: list[str], doc: str | None) -> Iterator[str]:
    """Name the parameters for which there is no C{@param}, nor an C{@ivar}."""
    told = set(re.findall(r"@(?:param|ivar|type) (\w+):", doc or ""))
    left = [each for each in names if each not in told]
    if left:
        yield f"{name}: {', '.join(left)}"


class ParameterTests(SynchronousTestCase):
    """Each parameter of what is public stands in a docstring."""

    def test_all_documented(self) -> None:
        """No public function or method leaves out a parameter."""
        found = [
            line
            for module, names in PUBLIC.items()
            for name in names.split()
            for line in undocumented(
                f"{module}.{name}", getattr(import_module(module), name)
            )
        ]
        self.assertEqual(found, [])

    def test_found(self) -> None:
        """A parameter that is not documented is found, by its function's name."""

        def told(one: int, two: int) -> None:
            """@param one: a number."""

        told.__module__ = "txkombu.example"
        self.assertEqual(list(undocumented("told", told)), ["told: two"])
