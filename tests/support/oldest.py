"""
Print the oldest version of each requirement that setup.py allows, as constraints.

C{python tests/support/oldest.py setup.py}; C{./run test-oldest} installs these.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement


def requirements(setup: Path) -> list[Requirement]:
    """Return what a setup.py requires, without the extras."""
    with TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, setup.name, "-q", "egg_info", "--egg-base", folder],
            cwd=setup.parent,
            check=True,
        )
        (found,) = Path(folder).glob("*.egg-info/requires.txt")
        lines = found.read_text().partition("\n[")[0].split("\n")
    return [Requirement(line) for line in lines if line]


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
    for each in requirements(Path(sys.argv[1]).absolute()):
        print(oldest(each))
