"""
The clients that are compared, and how to run them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import module

OURS = "txkombu"
OURS_BYTES = f"{OURS}, bytes"
"""
txkombu without JSON: it publishes and receives bytes, like the other clients.
"""
PIKA_TWISTED = "pika, Twisted"
STOMPPY = "stomp.py"
KOMBU = "kombu"
C = "librabbitmq (C), bytes"

MODES = ("publish", "confirm", "consume", "request")
_ALL = {mode: mode for mode in MODES}


class Client(NamedTuple):
    """One row of the tables."""

    name: str
    package: str
    """The package to install; C{""} for the program in C."""
    module: str
    modes: dict[str, str]
    """The tables that it is in, and what its program calls each mode."""


CLIENTS = (
    Client(OURS, "txkombu", "benchmarks.amqp_txkombu", _ALL),
    Client(
        OURS_BYTES,
        "txkombu",
        "benchmarks.amqp_txkombu",
        {mode: f"{mode}-bytes" for mode in MODES[:-1]},
    ),
    Client(C, "", "", _ALL),
    Client(f"{C}, acks 50", "", "", {"consume": "consume-multiple"}),
    Client(f"{C}, 8 µs more", "", "", {"publish": "publish-slowed"}),
    Client(PIKA_TWISTED, "pika", "benchmarks.amqp_pika_twisted", _ALL),
    Client("pika, blocking", "pika", "benchmarks.amqp_pika", _ALL),
    Client(KOMBU, "kombu", "benchmarks.amqp_kombu", _ALL),
    Client(
        "kombu, window", "kombu", "benchmarks.amqp_kombu", {"confirm": "confirm-window"}
    ),
    Client("aio-pika", "aio-pika", "benchmarks.amqp_aio_pika", _ALL),
    Client("txAMQP", "txAMQP", "benchmarks.amqp_txamqp", _ALL),
    Client("txkombu over pika", "pika", "benchmarks.amqp_txkombu_pika", _ALL),
    Client("txkombu over txAMQP", "txAMQP", "benchmarks.amqp_txkombu_txamqp", _ALL),
)

_STOMP = {mode: mode for mode in ("confirm", "consume")}
STOMP_CLIENTS = (
    Client(OURS, "txkombu", "benchmarks.stomp_txkombu", _STOMP),
    Client(
        OURS_BYTES,
        "txkombu",
        "benchmarks.stomp_txkombu",
        {mode: f"{mode}-bytes" for mode in _STOMP},
    ),
    Client(STOMPPY, "stomp.py", "benchmarks.stomp_stomppy", _STOMP),
    Client("stompest, Twisted", "stompest", "benchmarks.stomp_stompest", _STOMP),
)

SOURCE = Path(__file__).parent / "librabbitmq.c"
PACKAGES = "gcc libc6-dev librabbitmq-dev"


def compile_c(folder: Path) -> Path:
    """
    Compile the program in C.

    @raise RuntimeError: this machine cannot compile it; the text says why.
    """
    if shutil.which("gcc") is None:
        raise RuntimeError(f"there is no gcc: apt-get install {PACKAGES}")
    program = folder.absolute() / "librabbitmq"
    done = subprocess.run(
        ["gcc", "-O2", "-Wall", "-o", program, SOURCE, "-lrabbitmq"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = done.stderr.splitlines()[0] if done.stderr else "gcc failed"
        raise RuntimeError(f"{why}: apt-get install {PACKAGES}")
    return program


class Commands:
    """
    The commands that run the clients.

    @ivar missing: by name of a client, why it cannot be run.
    @ivar versions: the versions of the compared packages.
    """

    def __init__(self, clients: Sequence[Client], folder: Path) -> None:
        """@param folder: the place for the compiled program."""
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self._clients = clients
        self._commands: dict[str, list[str]] = {}
        in_c = [client for client in clients if not client.package]
        if in_c:
            self._add_compiled(in_c, folder)
        for client in clients:
            if client.package:
                self._add_module(client)

    def _add_compiled(self, clients: list[Client], folder: Path) -> None:
        try:
            program = str(compile_c(folder))
        except RuntimeError as error:
            self.missing.update((client.name, str(error)) for client in clients)
        else:
            self._commands.update((client.name, [program]) for client in clients)

    def _add_module(self, client: Client) -> None:
        try:
            self.versions[client.package] = version(client.package)
        except PackageNotFoundError:
            if client.package != OURS:
                why = f"{client.package} is not installed"
                self.missing[client.name] = why
                return
        self._commands[client.name] = module(client.module)

    def of(self, mode: str) -> dict[str, list[str]]:
        """
        Return the commands of the clients in the table of a mode; the last argument of
        each is the client's name for the mode.
        """
        return {
            client.name: [*self._commands[client.name], client.modes[mode]]
            for client in self._clients
            if mode in client.modes and client.name in self._commands
        }
