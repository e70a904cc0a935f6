"""
Print the oldest version of each requirement that pyproject.toml allows, as constraints.

C{python tests/support/oldest.py pyproject.toml}; C{./run test-oldest} installs these.
"""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def requirements(metadata: Path) -> list[Requirement]:
    """
    Return what the project and its extra C{fast} require.

    @param metadata: its C{pyproject.toml}.
    """
    project = tomllib.loads(metadata.read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["fast"]]
    return [Requirement(line) for line in lines]


def oldest(requirement: Requirement) -> str:
    """
    Return the constraint that allows only the oldest version of a requirement.

    @raise ValueError: the requirement names no oldest version.
    """
    versions = [each.version for each in requirement.specifier if each.operator == ">="]
    if not versions:
        raise ValueError(f"{requirement} names no oldest version: add >=")
    return f"{requirement.name}=={versions[0]}"


if __name__ == "__main__":
    for each in requirements(Path(sys.argv[1])):
        print(oldest(each))
