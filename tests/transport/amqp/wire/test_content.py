"""
Contents that arrive frame by frame.
"""

from __future__ import annotations

from pamqp import commands
from twisted.trial.unittest import SynchronousTestCase

from tests.support.amqp_peer import content_header
from txkombu.exceptions import ProtocolError
from txkombu.transport.amqp.wire.content import Content, ContentAssembler
from txkombu.transport.amqp.wire.frames import BODY, HEADER, HEARTBEAT, METHOD
from txkombu.transport.amqp.wire.methods import decode_method

DELIVER = commands.Basic.Deliver("tag", 1, False, "", "q")
PAYLOAD = DELIVER.index.to_bytes(4, "big") + DELIVER.marshal()


class ContentTests(SynchronousTestCase):
    """What frames make together."""

    def setUp(self) -> None:
        self.assembler = ContentAssembler(decode_method, max_body=5)

    def test_content(self) -> None:
        """A method, a header and a body are one content."""
        self.assertIsNone(self.assembler.handle_frame(METHOD, PAYLOAD))
        header = content_header(3, b"\0\0")
        self.assertIsNone(self.assembler.handle_frame(HEADER, header))
        found = self.assembler.handle_frame(BODY, b"abc")
        assert isinstance(found, Content)
        self.assertEqual((found.body, found.listed), (b"abc", b"\0\0"))
        self.assertIsNone(self.assembler.content)

    def test_no_method(self) -> None:
        """Without a method there is no header, no body and no heartbeat."""
        for kind in (HEADER, BODY, HEARTBEAT):
            text = f"type {kind} came without a method"
            with self.assertRaisesRegex(ProtocolError, text):
                self.assembler.handle_frame(kind, b"")

    def test_no_header(self) -> None:
        """A header that is cut short, or of another class, is refused."""
        header = content_header(0, b"\0\0")
        for payload, text in (
            (header[:-1], "cut short"),
            (b"\x00\x3d" + header[2:], "unknown class 61"),
            (content_header(6, b"\0\0"), "6 bytes is larger than 5"),
        ):
            with self.assertRaisesRegex(ProtocolError, text):
                Content(DELIVER, 5).take_header(payload)

    def test_out_of_order(self) -> None:
        """A second header, a body before one, and too long a body are refused."""
        content = Content(DELIVER)
        with self.assertRaisesRegex(ProtocolError, "a body without a header"):
            content.take_body(b"x")
        content.take_header(content_header(1, b"\0\0"))
        with self.assertRaisesRegex(ProtocolError, "a second header"):
            content.take_header(content_header(1, b"\0\0"))
        with self.assertRaisesRegex(ProtocolError, "longer than its header says"):
            content.take_body(b"xy")
