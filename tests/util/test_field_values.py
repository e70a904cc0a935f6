"""
The limits of what headers and arguments can hold.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from math import inf, nan

from twisted.trial.unittest import SynchronousTestCase

from txkombu._util.field_values import (
    DEEPEST,
    check_depth,
    check_finite,
    decimal_parts,
    fits_int32,
    join_decimal,
    read_timestamp,
    timestamp_seconds,
)


class LimitTests(SynchronousTestCase):
    """What is within the limits, and what is not."""

    def test_finite(self) -> None:
        """Every float is taken that is a number."""
        for value in (0.0, -0.0, 5e-324, -1.7976931348623157e308):
            self.assertEqual(check_finite(value), value)
        for value in (nan, inf, -inf):
            with self.assertRaisesRegex(ValueError, f"do not take {value}"):
                check_finite(value)

    def test_int(self) -> None:
        """An int has 32 or 64 bits."""
        for value in (0, -(2**31), 2**31 - 1):
            self.assertTrue(fits_int32(value))
        for value in (2**31, -(2**31) - 1, 2**63 - 1, -(2**63)):
            self.assertFalse(fits_int32(value))
        for value in (2**63, -(2**63) - 1):
            with self.assertRaisesRegex(ValueError, "64 bits"):
                fits_int32(value)

    def test_depth(self) -> None:
        """So many levels are taken, and not one more."""
        check_depth(DEEPEST)
        with self.assertRaisesRegex(ValueError, "more than 100"):
            check_depth(DEEPEST + 1)

    def test_decimal(self) -> None:
        """A decimal has 255 places and 32 bits at most, and keeps its zeros."""
        for text in ("1.50", "-0.01", "0E-10", "1E-255", "2147483647", "-2147483648"):
            value = Decimal(text)
            joined = join_decimal(*decimal_parts(value))
            self.assertEqual(joined.as_tuple(), value.as_tuple())
        self.assertEqual(decimal_parts(Decimal("1E+3")), (0, 1000))
        for text in ("NaN", "sNaN", "-Infinity", "1E-256", "1E+11", "2147483648"):
            with self.assertRaisesRegex(ValueError, "decimal"):
                decimal_parts(Decimal(text))

    def test_timestamp(self) -> None:
        """A time is in whole seconds since 1970, in UTC if it has no zone."""
        zone = timezone(timedelta(hours=3))
        for value, seconds in (
            (datetime(1970, 1, 1), 0),
            (datetime(1970, 1, 1, 3, 0, 1, 999999, zone), 1),
            (7.9, 7),
            (2**64 - 1, 2**64 - 1),
        ):
            self.assertEqual(timestamp_seconds(value), seconds)
        for wrong in (datetime(1969, 12, 31), -1, 2**64, nan, inf):
            with self.assertRaises(ValueError):
                timestamp_seconds(wrong)

    def test_read_timestamp(self) -> None:
        """A time that no datetime can be is its seconds."""
        wanted = datetime(1970, 1, 1, 0, 0, 5, tzinfo=timezone.utc)
        self.assertEqual(read_timestamp(5), wanted)
        self.assertEqual(read_timestamp(2**64 - 1), 2**64 - 1)
