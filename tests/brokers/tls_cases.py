"""
Who trusts whom, over TLS: what holds with every broker and transport.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from service_identity.exceptions import VerificationError
from twisted.trial.unittest import TestCase

from tests.support.broker_process import HOST
from tests.support.certificates import Authority
from txkombu import BrokerConnection
from txkombu.exceptions import ConnectError
from txkombu.url.parameters import NO_SERVER_NAME


class Trust(TestCase):
    """Cases for those who say how to connect."""

    timeout = 120

    @abstractmethod
    def connection(self, host: str = "localhost", **tls: Any) -> BrokerConnection:
        """Make a connection that trusts its authority, unless told otherwise."""

    async def refused(self, connection: BrokerConnection) -> ConnectError:
        """What connecting fails with."""
        error = await self.assertFailure(connection.connect(), ConnectError)
        assert isinstance(error, ConnectError)
        return error

    @property
    def stranger(self) -> Authority:
        """An authority that nobody trusts."""
        folder = Path(self.mktemp())
        folder.mkdir()
        return Authority(folder)

    async def test_accepted(self) -> None:
        """A broker whose authority is given is accepted."""
        connection = await self.connection().connect()
        self.assertTrue(connection.connected)

    async def test_unknown_authority(self) -> None:
        """Without its authority it is refused, and the error says what to give."""
        error = await self.refused(self.connection(cacertfile=None))
        self.assertIsInstance(error.__cause__, SSL.Error)
        self.assertRegex(str(error), "certificate verify failed.*cacertfile")

    async def test_another_authority(self) -> None:
        """So it is with the authority of somebody else."""
        error = await self.refused(self.connection(cacertfile=self.stranger.cacertfile))
        self.assertRegex(str(error), "certificate verify failed.*cacertfile")

    async def test_wrong_host(self) -> None:
        """
        A certificate for another host is refused, and the error says so; the
        name to expect can be given.
        """
        error = await self.refused(self.connection(HOST))
        self.assertIsInstance(error.__cause__, VerificationError)
        self.assertRegex(str(error), f"{HOST}.*not for that host.*server_name")
        await self.connection(HOST, server_name="localhost").connect()
        await self.connection(HOST, server_name=NO_SERVER_NAME).connect()
