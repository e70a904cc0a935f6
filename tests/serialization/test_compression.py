"""Compressed bodies, and bombs among them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from random import Random
from types import ModuleType

import kombu.compression
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from txkombu import compression
from txkombu._util.limits import MAX_BODY_SIZE
from txkombu.compression import Compressors, Undone, is_beyond_ratio
from txkombu.exceptions import DecodeError, EncodeError, SerializerNotInstalled

HEADERS = {
    "gzip": "application/x-gzip",
    "zlib": "application/x-gzip",
    "bzip2": "application/x-bz2",
    "bzip": "application/x-bz2",
    "lzma": "application/x-lzma",
    "xz": "application/x-lzma",
    "zstd": "application/zstd",
    "zstandard": "application/zstd",
    "brotli": "application/x-brotli",
}
METHODS = ("gzip", "bzip2", "lzma", "zstd", "brotli")
MIB = 1024 * 1024
BODY = b"the quick brown fox jumps over the lazy dog " * 100
ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class CompressorsTestCase(SynchronousTestCase):
    """Each test has compression methods of its own."""

    def setUp(self) -> None:
        """Make them."""
        self.methods = Compressors()


class RoundTripTests(CompressorsTestCase):
    """What was compressed is what it was."""

    def test_names(self) -> None:
        """Every name and content type compresses to Kombu's content type."""
        for name, header in HEADERS.items():
            for each in (name, header):
                small, said = self.methods.compress(BODY, each)
                self.assertEqual(said, header)
                self.assertLess(len(small), len(BODY) / 5)
                self.assertEqual(self.methods.decompress(small, header), BODY)
                self.assertEqual(self.methods.decompress(small, name), BODY)

    def test_streams(self) -> None:
        """The streams are those of the standard library; gzip's is zlib's."""
        streams: list[tuple[str, Callable[[bytes], bytes]]] = [
            ("gzip", zlib.decompress),
            ("bzip2", bz2.decompress),
            ("xz", lzma.decompress),
        ]
        for name, decompress in streams:
            self.assertEqual(decompress(self.methods.compress(BODY, name)[0]), BODY)

    def test_real_gzip(self) -> None:
        """Gzip's own streams are read, by each of its names, and several in a row."""
        for header in ("gzip", "zlib", "application/x-gzip"):
            for parts in ((BODY,), (BODY, b"more"), (b"", BODY, b"")):
                streams = b"".join(gzip.compress(part) for part in parts)
                plain = b"".join(parts)
                for limit in (len(plain), MAX_BODY_SIZE):
                    self.assertEqual(
                        self.methods.decompress(streams, header, limit), plain
                    )
                self.assertRaises(
                    DecodeError,
                    self.methods.decompress,
                    streams,
                    header,
                    len(plain) - 1,
                )

    def test_corrupt_gzip(self) -> None:
        """Gzip's streams that are cut short, followed by others, or too many."""
        stream = gzip.compress(BODY)
        damaged = stream[:-8] + bytes(4) + stream[-4:]
        many = gzip.compress(b"") * 101
        for body in (*(stream[:n] for n in range(2, 40)), damaged, many):
            self.assertRaises(DecodeError, self.methods.decompress, body, "gzip")
        for rest in (b"garbage", zlib.compress(BODY), stream[:-1]):
            self.assertRaises(
                DecodeError, self.methods.decompress, stream + rest, "gzip"
            )

    def test_may_be_true(self) -> None:
        """A header is believed of a body that is compressed so, or by who knows."""
        small, header = self.methods.compress(BODY, "gzip")
        large = gzip.compress(Random(1).randbytes(100_000))
        for method, body, believed in (
            (header, small, True),
            ("gzip", small, True),
            ("gzip", large, True),
            ("x/of-others", BODY, True),
            (header, BODY, False),
            (header, small[:-1], False),
            ("bzip2", small, False),
            (Undone(header), small, False),
            (5, small, False),
            ("", b"", True),
        ):
            self.assertIs(self.methods.may_be_true(method, body), believed, method)

    def test_may_be_true_of_others(self) -> None:
        """So is one whose library is not installed here: its header is kept."""

        def missing(body: bytes) -> bytes:
            raise SerializerNotInstalled("no library")

        self.methods.register(bytes, missing, "x/missing")
        self.assertTrue(self.methods.may_be_true("x/missing", BODY))

    @settings(max_examples=50, deadline=None)
    @given(some.binary(max_size=2000), some.sampled_from(METHODS))
    def test_any_body(self, body: bytes, name: str) -> None:
        """Any body comes back, empty ones too, at a limit of just its size."""
        small, header = compression.compress(body, name)
        self.assertEqual(compression.decompress(small, header, len(body)), body)

    def test_strongest_xz(self) -> None:
        """What the strongest preset of xz makes is within the memory allowed."""
        small = lzma.compress(BODY, preset=9 | lzma.PRESET_EXTREME)
        self.assertEqual(self.methods.decompress(small, "xz"), BODY)


class BombTests(CompressorsTestCase):
    """Small bodies that would become huge."""

    def test_limit(self) -> None:
        """At the limit a body is taken, one byte above it is refused."""
        for name in METHODS:
            small, header = self.methods.compress(bytes(MIB), name)
            self.assertEqual(self.methods.decompress(small, header, MIB), bytes(MIB))
            error = self.assertRaises(
                DecodeError, self.methods.decompress, small, header, MIB - 1
            )
            self.assertIn(f"larger than {MIB - 1} bytes", str(error))
            self.assertIn(header, str(error))

    def test_memory(self) -> None:
        """A bomb is refused before it is in memory."""
        for name in METHODS:
            bomb, header = self.methods.compress(bytes(64 * MIB), name)
            self.assertLess(len(bomb), MIB / 10)
            tracemalloc.start()
            try:
                self.assertRaises(
                    DecodeError, self.methods.decompress, bomb, header, MIB
                )
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            # xz has a dictionary of 8 MiB beside the output
            self.assertLess(peak, 16 * MIB, name)

    def test_default_limit(self) -> None:
        """Without a limit given, it is that of a consumer."""
        fair = Random(1).randbytes(MAX_BODY_SIZE // 20) * 20
        fair += bytes(MAX_BODY_SIZE - len(fair))
        for name in ("zstd", "gzip"):
            small, header = self.methods.compress(fair, name)
            self.assertEqual(self.methods.decompress(small, header), fair)
            bomb, header = self.methods.compress(fair + b"x", name)
            error = self.assertRaises(
                DecodeError, self.methods.decompress, bomb, header
            )
            self.assertIn(f"larger than {MAX_BODY_SIZE} bytes", str(error))
            self.assertIn("raise max_body_size", str(error))

    def test_ratio(self) -> None:
        """A body a thousand times as large and more is refused beyond 1 MiB."""
        for name in ("bzip2", "xz", "zstd", "brotli"):
            small, header = self.methods.compress(bytes(MIB), name)
            self.assertEqual(self.methods.decompress(small, header), bytes(MIB))
            small, header = self.methods.compress(bytes(MIB + 1), name)
            self.assertTrue(is_beyond_ratio(len(small), MIB + 1))
            error = self.assertRaises(
                DecodeError, self.methods.decompress, small, header
            )
            self.assertIn(f"of {len(small)} bytes is larger than {MIB}", str(error))
            self.assertIn("a thousand times its size", str(error))
            self.assertEqual(
                len(self.methods.decompress(small, header, 9 * MIB)), MIB + 1
            )

    def test_dictionary(self) -> None:
        """A body of xz that asks for a huge dictionary is refused."""
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 4096}]
        small = bytearray(lzma.compress(b"x", filters=filters))
        # the .xz file format, 5.3.1 and 3.1.7: 512 MiB, and the header's checksum
        small[16] = 34
        small[20:24] = zlib.crc32(small[12:20]).to_bytes(4, "little")
        error = self.assertRaises(
            DecodeError, self.methods.decompress, bytes(small), "xz"
        )
        self.assertIn("Memory usage limit exceeded", str(error))

    def test_window(self) -> None:
        """A body of zstd that asks for a huge window is refused."""
        for exponent, taken in [(10, True), (21, False)]:
            # RFC 8878, 3.1.1: magic, no flags, window of 2 ** (10 + exponent),
            # and one raw block that is the last, of one byte
            frame = b"\x28\xb5\x2f\xfd\x00" + bytes([exponent << 3]) + b"\x09\0\0x"
            if taken:
                self.assertEqual(self.methods.decompress(frame, "zstd"), b"x")
            else:
                self.assertRaises(DecodeError, self.methods.decompress, frame, "zstd")


class CorruptTests(CompressorsTestCase):
    """Bodies that are not what their header says."""

    def test_cut_short(self) -> None:
        """Every beginning of a stream is refused."""
        for name in METHODS:
            small, header = self.methods.compress(BODY[:60], name)
            for size in range(len(small)):
                self.assertRaises(
                    DecodeError, self.methods.decompress, small[:size], header
                )

    def test_trailing_garbage(self) -> None:
        """Anything behind the end of the stream is refused."""
        for name in METHODS:
            small, header = self.methods.compress(BODY, name)
            for rest in (b"garbage", small):
                self.assertRaises(
                    DecodeError, self.methods.decompress, small + rest, header
                )

    def test_mislabelled(self) -> None:
        """A body of another method, or of none, is refused by name."""
        for name in METHODS:
            header = HEADERS[name]
            other = "bzip2" if name == "gzip" else "gzip"
            for body in (BODY, self.methods.compress(BODY, other)[0]):
                error = self.assertRaises(
                    DecodeError, self.methods.decompress, body, header
                )
                self.assertIn(repr(header), str(error))

    @settings(max_examples=50, deadline=None)
    @given(some.binary(max_size=64), some.sampled_from(METHODS))
    def test_garbage(self, body: bytes, name: str) -> None:
        """Whatever is received is decompressed or is a DecodeError."""
        try:
            compression.decompress(body, name, 1000)
        except DecodeError as error:
            self.assertIn(repr(name), str(error))

    def test_header_of_wrong_type(self) -> None:
        """A header that is no str is a DecodeError."""
        for header in (5, b"gzip", ["gzip"], None):
            error = self.assertRaises(
                DecodeError, self.methods.decompress, BODY, header
            )
            self.assertIn("must be a str", str(error))


class NamesTests(CompressorsTestCase):
    """Methods that are unknown, missing, or one's own."""

    def replace(self, name: str, module: ModuleType | None) -> None:
        """Put another module in a module's place; None cannot be imported."""
        before = sys.modules.get(name)
        if before is None:
            self.addCleanup(sys.modules.pop, name, None)
        else:
            self.addCleanup(sys.modules.__setitem__, name, before)
        sys.modules[name] = module  # type: ignore[assignment]  # stands for a library

    def test_encoders(self) -> None:
        """The methods that can compress are listed by their content types."""
        self.assertEqual(self.methods.encoders(), list(dict.fromkeys(HEADERS.values())))
        self.assertLessEqual(
            set(kombu.compression.encoders()), set(self.methods.encoders())
        )
        self.methods.register(bytes.upper, bytes.lower, "x-upper", ["upper"])
        self.assertEqual(self.methods.encoders()[-1], "x-upper")
        self.assertIn("application/zstd", compression.encoders())

    def test_encoders_without_libraries(self) -> None:
        """A method whose library is missing is not listed."""
        for name in (ZSTD, "brotli"):
            self.patch(sys, "modules", {**sys.modules, name: None})
        self.assertEqual(
            self.methods.encoders(),
            ["application/x-gzip", "application/x-bz2", "application/x-lzma"],
        )

    def test_unknown(self) -> None:
        """The error names the nearest method, in both directions."""
        for call in (self.methods.compress, self.methods.decompress):
            error = self.assertRaises(SerializerNotInstalled, call, BODY, "gzipp")
            self.assertIn("no compression 'gzipp': did you mean 'gzip'?", str(error))

    def test_name_of_wrong_type(self) -> None:
        """A name that is no str is a mistake of type."""
        self.assertRaises(TypeError, self.methods.compress, BODY, True)

    def test_missing_extra(self) -> None:
        """Without its library a method says what to install."""
        small = {name: self.methods.compress(BODY, name)[0] for name in METHODS}
        self.replace("brotli", None)
        self.replace(ZSTD, None)
        for name in ("zstd", "brotli"):
            error = self.assertRaises(
                SerializerNotInstalled, self.methods.compress, BODY, name
            )
            self.assertIn(f"pip install txkombu[{name}]", str(error))
            error = self.assertRaises(
                SerializerNotInstalled, self.methods.decompress, small[name], name
            )
            self.assertIn(f"pip install txkombu[{name}]", str(error))

    def test_incomplete_python(self) -> None:
        """A Python built without one of them says so."""
        self.replace("lzma", None)
        error = self.assertRaises(
            SerializerNotInstalled, self.methods.compress, BODY, "xz"
        )
        self.assertIn("this Python lacks it", str(error))

    def test_old_brotli(self) -> None:
        """A brotli that cannot be limited is not used to decompress."""
        old = ModuleType("brotli")
        old.Decompressor = object  # type: ignore[attr-defined]  # stands for a library
        self.replace("brotli", old)
        error = self.assertRaises(
            SerializerNotInstalled, self.methods.decompress, BODY, "brotli"
        )
        self.assertIn("older than 1.2", str(error))

    def test_own_method(self) -> None:
        """A registered method is used by all of its names, and is measured."""
        self.methods.register(
            lambda body: body[::-1], lambda body: body[::-1], "x/rev", ["reverse"]
        )
        for name in ("reverse", "x/rev"):
            self.assertEqual(self.methods.compress(b"abc", name), (b"cba", "x/rev"))
            self.assertEqual(self.methods.decompress(b"cba", name), b"abc")
        error = self.assertRaises(
            DecodeError, self.methods.decompress, b"abc", "x/rev", 2
        )
        self.assertIn("larger than 2 bytes", str(error))
        self.assertRaises(SerializerNotInstalled, Compressors().compress, b"", "x/rev")

    def test_failing_method(self) -> None:
        """What a method raises becomes EncodeError and DecodeError."""

        def fail(body: bytes) -> bytes:
            raise KeyError("why")

        self.methods.register(fail, fail, "x/fail")
        error = self.assertRaises(EncodeError, self.methods.compress, b"", "x/fail")
        self.assertIn("'x/fail' cannot compress a body: KeyError('why')", str(error))
        failure = self.assertRaises(DecodeError, self.methods.decompress, b"", "x/fail")
        self.assertIn("corrupt: KeyError('why')", str(failure))

    def test_module_functions(self) -> None:
        """The functions of the module share one object."""
        self.assertEqual(
            compression.decompress(*compression.compress(BODY, "zlib")), BODY
        )
        self.assertEqual(
            compression.register_compression, compression.compressors.register
        )
