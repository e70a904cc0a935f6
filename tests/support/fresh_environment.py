"""
The sdist and the wheel of this tree, and virtual environments to install them into.
Nothing here uses the network: dependencies are those of the Python that runs the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from unittest import SkipTest

import twisted

from tests.support.paths import CHECKOUT


def run(
    *command: object, cwd: Path, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with a plain environment, quietly unless it fails."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))
    }
    environment.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        user=user,
    )
    if done.returncode:
        words = " ".join(str(each) for each in command)
        raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def source(target: Path) -> Path:
    """Copy what belongs to the project, and a cache that must not be packed."""
    target.mkdir(parents=True)
    for name in CHECKOUT.joinpath("MANIFEST.in").read_text().split():
        if CHECKOUT.joinpath(name).is_dir() and name != "docs/build":
            _copy(CHECKOUT / name, target / name)
        elif CHECKOUT.joinpath(name).is_file():
            target.joinpath(name).parent.mkdir(exist_ok=True)
            shutil.copy(CHECKOUT / name, target / name)
    _copy(CHECKOUT / "txkombu", target / "txkombu")
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in"):
        shutil.copy(CHECKOUT / name, target)
    target.joinpath("twisted", "plugins", "dropin.cache").write_bytes(b"stale")
    return target


def _copy(origin: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "dropin.cache", "_trial_temp*")
    shutil.copytree(origin, target, ignore=ignored)


@cache
def built() -> Path:
    """Build the sdist and the wheel, once; returns the folder they are in."""
    if not (find_spec("wheel") or find_spec("setuptools.command.bdist_wheel")):
        raise SkipTest("neither wheel nor a setuptools that has it is installed")
    tree = source(Path("packaging-source").absolute())
    run(sys.executable, "setup.py", "-q", "sdist", "bdist_wheel", cwd=tree)
    return tree / "dist"


def only(pattern: str) -> Path:
    """Return the file of this pattern that was built."""
    (found,) = built().glob(pattern)
    return found


class FreshEnvironment:
    """
    A virtual environment that has all that this Python has, but not txkombu.

    @ivar python: its Python.
    @ivar site: its folder of packages.
    @ivar elsewhere: an empty folder to run programs in.
    """

    def __init__(self, home: Path) -> None:
        """@param home: its folder, which is made."""
        self.home = home
        venv.create(self.home, with_pip=False, symlinks=True)
        self.python = self.home / "bin" / "python"
        (self.site,) = self.home.glob("lib/python3*/site-packages")
        self.elsewhere = self.home / "elsewhere"
        self.elsewhere.mkdir()
        self._link_dependencies()

    def _link_dependencies(self) -> None:
        """
        Link all that this Python has into the new one, but for txkombu itself;
        C{twisted.plugins} must be a real folder, into which a plugin can go.
        """
        shared = Path(twisted.__file__).parent.parent
        plugins = self.site / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        for origin, target in (
            (shared, self.site),
            (shared / "twisted", plugins.parent),
            (shared / "twisted" / "plugins", plugins),
        ):
            for each in origin.iterdir():
                ours = re.match(
                    r"_*(editable__*)?txkombu|dropin\.cache|.*\.pth$", each.name
                )
                if not ours and not target.joinpath(each.name).exists():
                    target.joinpath(each.name).symlink_to(each)

    def pip(self, *arguments: object) -> None:
        """Install something that needs nothing else."""
        offline = ("--no-index", "--no-deps", "--no-build-isolation", "--no-compile")
        run(
            self.python,
            "-m",
            "pip",
            "install",
            "-q",
            *offline,
            *arguments,
            cwd=self.elsewhere,
        )
