"""
What is built from this tree, and that twistd finds the plugin in each form of
install.  Nothing here uses the network: dependencies are those of the Python
that runs the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import txkombu._version
from tests.support.fresh_environment import FreshEnvironment, only, run, source
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
            "docs/project/adr/index.rst",
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
        self.fresh = FreshEnvironment(Path(self.mktemp()).absolute())
        self.python, self.site = self.fresh.python, self.fresh.site
        self.pip, self.elsewhere = self.fresh.pip, self.fresh.elsewhere

    def twistd(self, *arguments: str, user: int | None = None) -> str:
        return run(
            self.python, "-c", TWISTD, *arguments, cwd=self.elsewhere, user=user
        ).stdout

    def check(self) -> None:
        """The plugin is listed, and its own options are shown."""
        self.assertRegex(self.twistd("--help"), r"(?m)^ +kombu +Host consumers")
        told = self.twistd("kombu", "--help")
        self.assertIn("--broker", told)
        self.assertIn("Example: twistd -n kombu -b amqp://", told)

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
        tree = source(self.fresh.home / "checkout")
        self.pip("-e", tree)
        self.assertFalse(self.site.joinpath("txkombu").exists())
        self.check()

    def test_setup_py_install(self) -> None:
        """C{python setup.py install}"""
        tree = source(self.fresh.home / "checkout")
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
