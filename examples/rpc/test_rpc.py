"""
Tests of server, client and web server, with a broker in memory and without a port:
nothing has to be started, and time passes only when a test says so.
"""

from __future__ import annotations

from twisted.internet.testing import StringTransport
from twisted.web.server import Site

from rpc_client import count_words
from rpc_server import WordServer
from txkombu import Queue
from txkombu.rpc import RPCClient
from txkombu.testing import BrokerTestCase
from web_rpc import SECONDS, Words


class CallTests(BrokerTestCase):
    """What callers are told."""

    def setUp(self) -> None:
        """Make a client."""
        super().setUp()
        self.client = RPCClient(self.connection)

    def serve(self) -> None:
        """Start a server."""
        self.result_of(WordServer(self.connect()).consume())

    def test_counted(self) -> None:
        """The server's reply is what the client tells."""
        self.serve()
        told = self.result_of(count_words(self.client, "one two"))
        self.assertEqual(told, "2 words in 'one two'")

    def test_refused(self) -> None:
        """An error of the server is told, and logged there."""
        self.serve()
        told = self.result_of(count_words(self.client, ""))
        self.assertIn("ValueError: the text has no words", told)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_no_server(self) -> None:
        """Without a server the client says so at once."""
        told = self.result_of(count_words(self.client, "one"))
        self.assertEqual(told, "there is no server")

    def post(self, body: bytes) -> StringTransport:
        """Post something to the web server; return the client's side of the socket."""
        client = StringTransport()
        channel = Site(Words(self.client), reactor=self.clock).buildProtocol(None)
        channel.makeConnection(client)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        channel.dataReceived(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.flush()
        return client

    def test_web(self) -> None:
        """The web server answers with the reply, or with the error."""
        self.serve()
        self.assertIn(b'{"words": 2}', self.post(b'{"text": "one two"}').value())
        self.assertIn(b"400 Bad Request", self.post(b'{"text": ""}').value())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_web_without_server(self) -> None:
        """The web server tells when to come again, or that no reply came in time."""
        self.assertIn(b"503 Service Unavailable", self.post(b"{}").value())
        self.result_of(Queue("words")(self.connect()).declare())
        client = self.post(b"{}")
        self.assertEqual(client.value(), b"")
        self.advance(SECONDS)
        self.assertIn(b"504 Gateway Time-out", client.value())
