"""
Packaging.

C{twisted.plugins} is listed without an C{__init__.py} of ours, and
C{package_dir} names the root: without the latter an editable install puts an
import hook where Twisted, which searches C{sys.path}, does not find the plugin.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"$',
    HERE.joinpath("txkombu", "_version.py").read_text(encoding="utf-8"),
    re.MULTILINE,
)
assert VERSION is not None, "txkombu/_version.py has no version"

EXTRAS = {
    "pika": ["pika>=1.3,<2"],
    "metrics": ["prometheus-client"],
    "zstd": ["backports.zstd; python_version < '3.14'"],
    "brotli": ["brotli"],
}
DOCS = ["docutils", "pygments"]
BENCH = ["aio-pika", "kombu>=5.5", "pika>=1.3,<2", "stomp.py>=8.1"]
"""What the benchmarks compare with; its tests run each of these once."""

setup(
    name="txkombu",
    version=VERSION[1],
    description="Kombu's messaging model, native to Twisted",
    long_description=HERE.joinpath("README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="BSD-3-Clause",
    keywords="twisted kombu amqp rabbitmq stomp activemq messaging",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    package_dir={"": "."},
    packages=[
        *find_packages(include=["txkombu", "txkombu.*"]),
        "twisted.plugins",
    ],
    package_data={"txkombu": ["py.typed"]},
    entry_points={"console_scripts": ["txkombu=txkombu.__main__:main"]},
    zip_safe=False,
    install_requires=[
        "Twisted[tls]>=24.7",
        "pyOpenSSL>=24.3",
        "service_identity>=24.2",
        "zope.interface>=6.0",
        "attrs>=22.2",
        "PyYAML>=6.0.1",
        "msgpack>=1.0.5",
        "pamqp>=3.2",
        "stompest>=2.3,<3",
        "txAMQP>=0.8.2,<0.9",
    ],
    extras_require={
        **EXTRAS,
        "all": sorted(each for extra in EXTRAS.values() for each in extra),
        "bench": BENCH,
        "docs": DOCS,
        "dev": [
            *sorted(each for extra in EXTRAS.values() for each in extra),
            *BENCH,
            *DOCS,
            "hypothesis",
            "import-linter",
            "mypy",
            "mypy-zope",
            "packaging",
            "pip",
            "ruff",
            "setuptools>=64",
            "types-PyYAML",
            "types-docutils",
            "wheel",
        ],
    },
)
