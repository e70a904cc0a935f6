"""
Roots of other Debian suites, with their RabbitMQ.

C{python -m tests.further_brokers.roots} makes the missing ones, and prints which
version of RabbitMQ each has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from tests.support.rabbitmq import BrokerFailed, Installation, RabbitMQ, once

SUITES = ("trixie", "sid")
"""
Debian 13 has RabbitMQ 4.0, and Debian unstable a later version.
"""

DENYING = "deprecated_features.permit.transient_nonexcl_queues = false"
"""
The settings that later versions will have by default.
"""


def cache() -> Path:
    """Return the folder of the roots."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "txkombu-brokers"


def make(suite: str) -> Path:
    """Make the root of a suite, which takes a minute, unless it exists."""
    root = cache() / suite
    if root.exists():
        return root
    part = root.with_suffix(".part")
    if part.exists():
        shutil.rmtree(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    print(f"Making a root of Debian {suite} in {root} ...", flush=True)
    # Its mounts end with the process, even if that is killed.
    command = ("unshare", "--mount", "--propagation=private", "debootstrap")
    options = ("--variant=minbase", "--include=rabbitmq-server")
    done = subprocess.run(
        [*command, *options, suite, str(part)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise BrokerFailed(f"debootstrap {suite} failed:\n{tail}")
    (part / "etc/hosts").write_text("127.0.0.1 localhost\n")
    part.rename(root)
    return root


def version(suite: str) -> str:
    """Return the version of RabbitMQ in the root of a suite."""
    (folder,) = (cache() / suite / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
    return folder.name.partition("-")[2]


def rabbitmq_of(suite: str) -> RabbitMQ:
    """
    Return the RabbitMQ of a suite; start it if it does not run yet.

    @raise SkipTest: there is no root of that suite, and this is not CI.
    """
    root = cache() / suite
    if os.getuid() != 0 or not root.exists():
        reason = f"needs root, and {root}: ./run test-brokers"
        if os.environ.get("CI") == "true":
            raise BrokerFailed(reason)
        raise SkipTest(reason)
    return once(suite, lambda: RabbitMQ(Installation(root), DENYING))


def main() -> int:
    """Make the missing roots."""
    for suite in SUITES:
        make(suite)
        print(f"Debian {suite} has RabbitMQ {version(suite)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
