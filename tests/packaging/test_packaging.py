"""
What is built from this tree, and that twistd finds the plugin in each form of
install.  Nothing here uses the network: dependencies are those of the Python
that runs the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from unittest import SkipTest

import twisted
from twisted.trial.unittest import SynchronousTestCase

import txkombu._version
from tests.support.paths import CHECKOUT

NOBODY = 65534
REQUIRED = {
    "attrs",
    "cattrs",
    "msgpack",
    "pamqp",
    "pyopenssl",
    "pyyaml",
    "service_identity",
    "stompest",
    "twisted",
    "txamqp",
    "zope.interface",
}
PLUGIN = "txkombu_plugin.py"
TWISTD = "from twisted.scripts.twistd import run; run()"


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
    (found,) = built().glob(pattern)
    return found


class ContentTests(SynchronousTestCase):
    """What the sdist and the wheel carry."""

    def test_wheel(self) -> None:
        """
        The wheel has the library, its type marker and the plugin; and no
        C{__init__.py} in Twisted's package, no cache and no tests.
        """
        names = zipfile.ZipFile(only("*.whl")).namelist()
        ours = [each for each in names if ".dist-info/" not in each]
        self.assertIn("txkombu/py.typed", ours)
        self.assertIn("txkombu/transport/__init__.py", ours)
        in_twisted = [each for each in ours if each.startswith("twisted/")]
        self.assertEqual(in_twisted, [f"twisted/plugins/{PLUGIN}"])
        foreign = [
            each for each in ours if not each.startswith(("txkombu/", "twisted/"))
        ]
        self.assertEqual(foreign, [])

    def test_every_module(self) -> None:
        """Every module of the library is in the wheel."""
        names = set(zipfile.ZipFile(only("*.whl")).namelist())
        wanted = {
            str(each.relative_to(CHECKOUT)) for each in CHECKOUT.glob("txkombu/**/*.py")
        }
        self.assertEqual(wanted - names, set())

    def test_sdist(self) -> None:
        """The sdist has what it takes to test, read and build the library."""
        with tarfile.open(only("*.tar.gz")) as archive:
            names = {each.partition("/")[2] for each in archive.getnames()}
        for wanted in (
            ".pre-commit-config.yaml",
            "CHANGELOG.rst",
            "CONTRIBUTING.rst",
            "LICENSE",
            "README.rst",
            "SECURITY.rst",
            "docs/adr/index.rst",
            "newsfragments/.gitignore",
            "pyproject.toml",
            "run",
            "setup.py",
            "tests/packaging/test_packaging.py",
            f"twisted/plugins/{PLUGIN}",
        ):
            self.assertIn(wanted, names)
        self.assertEqual([each for each in names if each.endswith(".cache")], [])

    def test_metadata(self) -> None:
        """Name, version, licence, requirements and extras stand in the metadata."""
        archive = zipfile.ZipFile(only("*.whl"))
        (name,) = [each for each in archive.namelist() if each.endswith("/METADATA")]
        found = Parser().parsestr(archive.read(name).decode("utf-8"))
        self.assertEqual(found["Name"], "txkombu")
        self.assertEqual(found["Version"], txkombu._version.__version__)
        self.assertEqual(found["Requires-Python"], ">=3.10")
        self.assertEqual(found["License-Expression"], "BSD-3-Clause")
        self.assertEqual(found["Author"], "The txkombu authors")
        self.assertEqual(found["Description-Content-Type"], "text/x-rst")
        extras = set(found.get_all("Provides-Extra", []))
        wanted = {
            *("pika", "zstd", "brotli", "fast", "metrics"),
            *("all", "bench", "dev", "docs"),
        }
        self.assertEqual(extras, wanted)
        required = {
            re.split("[^A-Za-z0-9._-]", each)[0].lower()
            for each in found.get_all("Requires-Dist", [])
            if "extra ==" not in each
        }
        self.assertEqual(required, REQUIRED)


class InstallTests(SynchronousTestCase):
    """Each form of install gives a working C{twistd kombu}."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
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
        offline = ("--no-index", "--no-deps", "--no-build-isolation", "-q")
        run(
            self.python,
            "-m",
            "pip",
            "install",
            *offline,
            *arguments,
            cwd=self.elsewhere,
        )

    def twistd(self, *arguments: str, user: int | None = None) -> str:
        return run(
            self.python, "-c", TWISTD, *arguments, cwd=self.elsewhere, user=user
        ).stdout

    def check(self) -> None:
        """The plugin is listed, and its own options are shown."""
        self.assertRegex(self.twistd("--help"), r"(?m)^ +kombu +Host consumers")
        self.assertIn("--broker", self.twistd("kombu", "--help"))

    def test_nothing_installed(self) -> None:
        """Without an install there is no such command: the other tests can fail."""
        self.assertNotIn("kombu", self.twistd("--help"))

    def test_wheel(self) -> None:
        """A wheel."""
        self.pip(only("*.whl"))
        self.check()

    def test_sdist(self) -> None:
        """An sdist."""
        self.pip(only("*.tar.gz"))
        self.check()

    def test_editable(self) -> None:
        """An editable install of a checkout."""
        tree = source(self.home / "checkout")
        self.pip("-e", tree)
        self.assertFalse(self.site.joinpath("txkombu").exists())
        self.check()

    def test_setup_py_install(self) -> None:
        """C{python setup.py install}"""
        tree = source(self.home / "checkout")
        run(self.python, "setup.py", "-q", "install", cwd=tree)
        shutil.rmtree(tree)
        self.check()

    def test_read_only(self) -> None:
        """
        A wheel in site-packages that cannot be written, used by one who owns
        nothing there: the plugin is found without its cache.
        """
        self.pip(only("*.whl"))
        plugins = self.site / "twisted" / "plugins"
        cached = plugins / "dropin.cache"
        cached.unlink(missing_ok=True)
        user = self._someone_else()
        plugins.chmod(0o555)
        self.addCleanup(plugins.chmod, 0o755)
        self.assertIn("kombu", self.twistd("--help", user=user))
        if os.getuid() or user is not None:
            self.assertFalse(cached.exists())

    def _someone_else(self) -> int | None:
        """A user without rights, if we are root and such a user can run Python."""
        if os.getuid():
            return None
        try:
            run(self.python, "-c", "import twisted", cwd=self.elsewhere, user=NOBODY)
        except (AssertionError, OSError):
            return None
        return NOBODY
