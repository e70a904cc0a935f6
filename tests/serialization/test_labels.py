"""The labels of a body: media types, character sets, and none at all."""

from __future__ import annotations

import codecs
import pickle
from encodings.aliases import aliases

from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import ContentDisallowed, DecodeError, EncodeError
from txkombu.serialization import Registry
from txkombu.serialization.labels import charset_named, charset_of

JSON = "application/json"
PICKLE = "application/x-python-serialize"
TEXT = "text/plain"


class LabelTestCase(SynchronousTestCase):
    """Each test has a registry of its own."""

    def setUp(self) -> None:
        """Make the registry."""
        self.registry = Registry()


class MediaTypeTests(LabelTestCase):
    """Content types are compared without case and parameters (RFC 9110, 8.3.1)."""

    def test_read(self) -> None:
        """Json is json, however it is spelled and whatever follows."""
        for kind in (
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            "Application/JSON",
            " application/json ; profile=x",
            'application/json; a="b;c"; charset="utf-8"',
        ):
            for encoding in (None, "utf-8", "binary"):
                self.assertEqual(
                    self.registry.decode(b"[1]", kind, encoding), [1], kind
                )

    def test_charset(self) -> None:
        """The parameter charset counts where there is no content encoding."""
        decode = self.registry.decode
        for kind in ("text/plain; charset=latin-1", "TEXT/CSV;a=b;Charset='x';x=1"):
            expected = "\u00e9" if "latin" in kind else None
            if expected:
                self.assertEqual(decode(b"\xe9", kind, None), expected)
            else:
                self.assertRaises(DecodeError, decode, b"\xe9", kind, None)
        json = 'application/json; charset="utf-16"'
        self.assertEqual(decode('"\u00e9"'.encode("utf-16"), json, None), "\u00e9")
        self.assertEqual(decode(b'"\xc3\xa9"', json, "utf-8"), "\u00e9")

    def test_charset_of(self) -> None:
        """It is found among others, quoted or not."""
        for kind, charset in (
            ("a/b", None),
            ("a/b; x=charset", None),
            ("a/b; charset=utf-8", "utf-8"),
            ('a/b;x=1; CharSet = "UTF-8";y', "UTF-8"),
            ("a/b;" + " " * 400 + ";charset=utf-8", None),
        ):
            self.assertEqual(charset_of(kind), charset, kind)

    def test_pickle_in_disguise(self) -> None:
        """Pickle is not accepted because it is spelled otherwise."""
        body = pickle.dumps([1])
        for kind in (PICKLE.upper(), f"{PICKLE}; a=b", f" {PICKLE} "):
            self.assertRaises(
                ContentDisallowed, self.registry.decode, body, kind, "binary"
            )
            self.assertEqual(self.registry.loads(body, kind, "binary", ["pickle"]), [1])
        self.registry.register("mine", None, len, PICKLE.upper(), "binary")
        self.assertRaises(
            ContentDisallowed, self.registry.decode, body, PICKLE, "binary"
        )

    def test_accepted(self) -> None:
        """What a consumer accepts is compared so, too."""
        loads = self.registry.loads
        for accept in (["json"], ["Application/JSON"], [f"{JSON};charset=utf-8"]):
            self.assertEqual(loads(b"[]", f"{JSON}; x=1", None, accept), [])
            self.assertEqual(loads(b"x", "Text/Plain; x=1", None, accept), "x")
            self.assertRaises(
                ContentDisallowed, loads, b"", "application/x-yaml", None, accept
            )

    def test_registered(self) -> None:
        """So is what a serializer is registered for."""
        self.registry.register("up", str.upper, str.lower, "X/Up; version=1")
        for kind in ("x/up", "X/UP; version=2"):
            self.assertEqual(self.registry.loads(b"A", kind, None, ["up"]), "a")


class CharsetTests(LabelTestCase):
    """Character sets come from a fixed table."""

    def test_known(self) -> None:
        """All of Python's are known, by all of their names."""
        for name in ("utf-8", "UTF8", "latin-1", "ISO-8859-15", "cp1252", "utf-8-sig"):
            self.assertEqual("x".encode(charset_named(name)).decode(name), "x")
        known = 0
        for name in aliases:
            try:
                b"".decode(charset_named(name))
            except ValueError:
                continue
            known += 1
        self.assertGreater(known, 250)

    def test_unknown(self) -> None:
        """Others are refused, before Python is asked for them."""
        asked: list[str] = []
        search = asked.append
        codecs.register(search)
        self.addCleanup(codecs.unregister, search)
        decode = self.registry.decode
        for name in (
            "x-unknown",
            "unicode_escape",
            "raw-unicode-escape",
            "rot13",
            "idna",
            "mbcs",
            "../x",
            "msgpack",
            "\u0661",
            "utf-8" * 20_000,
        ):
            self.assertRaises(ValueError, charset_named, name)
            error = self.assertRaises(DecodeError, decode, b"x", TEXT, name)
            self.assertIn("unknown encoding", str(error))
            self.assertLess(len(str(error)), 1000)
            self.assertRaises(
                EncodeError, self.registry.encode, "x", None, "text/csv", name
            )
        self.assertEqual(asked, [])

    def test_own(self) -> None:
        """A serializer's own character set is read, however odd it is."""
        self.registry.register("odd", None, str.upper, "x/odd", "unicode_escape")
        self.assertEqual(
            self.registry.decode(b"\\xe9", "x/odd", "unicode_escape"), "\u00c9"
        )


class UnlabelledTests(LabelTestCase):
    """Bodies of which the sender said little."""

    def test_bytes(self) -> None:
        """What says nothing and is no UTF-8 is bytes; what is, is text."""
        decode = self.registry.decode
        for body, value in (
            (b"plain", "plain"),
            (b"", ""),
            ("w\u00f6rt".encode(), "w\u00f6rt"),
            (b"\x89PNG\r\n\x1a\n\xff", b"\x89PNG\r\n\x1a\n\xff"),
            (b"cut \xc3", b"cut \xc3"),
        ):
            for kind in (None, "", "application/data", "application/octet-stream"):
                self.assertEqual(decode(body, kind, None), value)
        self.assertEqual(decode(b"\xff\xd8", "image/jpeg", None), b"\xff\xd8")

    def test_labelled(self) -> None:
        """What says that it is text has to be."""
        for kind, encoding in (
            (None, "utf-8"),
            ("application/data", "utf-8"),
            ("text/plain", None),
            ("Text/CSV; header=present", None),
            (JSON, None),
            ("image/png; charset=utf-8", None),
        ):
            self.assertRaises(
                DecodeError, self.registry.decode, b"\xff", kind, encoding
            )
