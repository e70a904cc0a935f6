"""
Roots of other Debian suites, for the RabbitMQs they have.

C{python -m tests.further_brokers.roots} makes those that are missing, and says which
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
"""Debian 13 has RabbitMQ 4.0, Debian unstable a later one."""

DENYING = "deprecated_features.permit.transient_nonexcl_queues = false"
"""As later versions will have it by default."""


def cache() -> Path:
    """Where the roots are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "txkombu-brokers"


def make(suite: str) -> Path:
    """Make the root of a suite, which takes a minute, unless it is there."""
    root = cache() / suite
    if root.exists():
        return root
    part = root.with_suffix(".part")
    if part.exists():
        shutil.rmtree(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    print(f"Making a root of Debian {suite} in {root} ...", flush=True)
    # Its mounts end with it, even if it is killed.
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
    """The version of RabbitMQ in the root of a suite."""
    (folder,) = (cache() / suite / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")
    return folder.name.partition("-")[2]


def rabbitmq_of(suite: str) -> RabbitMQ:
    """
    The RabbitMQ of a suite, started if it is not running yet.

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
    """Make what is missing."""
    for suite in SUITES:
        make(suite)
        print(f"Debian {suite} has RabbitMQ {version(suite)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
