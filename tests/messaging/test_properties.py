"""The properties of a message."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from inspect import signature

from twisted.trial.unittest import SynchronousTestCase

from txkombu import Producer, Queue
from txkombu.messaging.properties import SHORT_STRINGS, check_properties

UTC = timezone.utc


class PropertiesTests(SynchronousTestCase):
    """The properties that may be given beside the arguments of publish."""

    def check(self, **properties: object) -> dict[str, object]:
        """Check properties, and return the result."""
        check_properties(properties)
        return properties

    def refuse(self, error: type[Exception], **properties: object) -> str:
        """Check that properties are refused, and return the error's text."""
        return str(self.assertRaises(error, check_properties, properties))

    def test_strings(self) -> None:
        """Each short string of AMQP is accepted as it is."""
        given: dict[str, object] = dict.fromkeys(SHORT_STRINGS, "\u00e9")
        self.assertEqual(self.check(**given), given)

    def test_none(self) -> None:
        """None means that a property is not set."""
        given: dict[str, object] = dict.fromkeys([*SHORT_STRINGS, "timestamp"])
        self.assertEqual(self.check(**given), {})

    def test_length(self) -> None:
        """
        255 bytes of UTF-8 are accepted, more are not, and the error names the property.
        """
        self.check(message_id="\u00e9" * 127 + "x")
        text = self.refuse(ValueError, message_id="\u00e9" * 128)
        self.assertIn("message_id", text)
        self.assertIn("256 bytes", text)

    def test_no_string(self) -> None:
        """A value that is not a str is a TypeError that names the property."""
        for value in (7, b"bytes", ["x"]):
            self.assertIn("app_id", self.refuse(TypeError, app_id=value))

    def test_surrogates(self) -> None:
        """A value that cannot be UTF-8 is refused."""
        self.refuse(ValueError, type="\ud800")

    def test_reply_to_queue(self) -> None:
        """A Queue as reply_to stands for its name."""
        self.assertEqual(self.check(reply_to=Queue("answers")), {"reply_to": "answers"})

    def test_reply_to_nameless_queue(self) -> None:
        """
        A Queue that has no name yet is refused as reply_to, and the error says so.
        """
        nameless = Queue(exclusive=True)
        error = self.assertRaises(ValueError, self.check, reply_to=nameless)
        self.assertEqual(
            str(error),
            f"reply_to is {nameless!r}, which has no name yet: declare it before, on "
            "a bound copy, and pass that; the broker then has named it",
        )
        nameless.name = "amq.gen-1"
        self.assertEqual(self.check(reply_to=nameless), {"reply_to": "amq.gen-1"})
        self.refuse(TypeError, correlation_id=Queue("answers"))

    def test_unknown(self) -> None:
        """An unknown property is refused, and the error suggests a similar one."""
        self.assertIn(
            "did you mean 'correlation_id'",
            self.refuse(TypeError, corelation_id="x"),
        )
        self.assertIn("'headers'", self.refuse(TypeError, header={}))
        text = self.refuse(TypeError, qqq=None)
        self.assertIn("'qqq'", text)
        self.assertIn("AMQP has app_id", text)

    def test_arguments_suggested(self) -> None:
        """Each argument of publish is suggested for a name that is like it."""
        for name in signature(Producer.publish).parameters:
            if name not in ("self", "body", "immediate", "properties"):
                text = self.refuse(TypeError, **{f"{name}x": None})
                self.assertIn(f"did you mean {name!r}?", text)

    def test_seconds(self) -> None:
        """A timestamp may be whole seconds since 1970."""
        self.assertEqual(
            self.check(timestamp=86400), {"timestamp": datetime(1970, 1, 2, tzinfo=UTC)}
        )
        self.assertEqual(
            self.check(timestamp=0), {"timestamp": datetime(1970, 1, 1, tzinfo=UTC)}
        )

    def test_moment(self) -> None:
        """A datetime becomes whole seconds in UTC."""
        zone = timezone(timedelta(hours=2))
        given = datetime(2024, 2, 29, 12, 0, 1, 999_999, zone)
        self.assertEqual(
            self.check(timestamp=given),
            {"timestamp": datetime(2024, 2, 29, 10, 0, 1, tzinfo=UTC)},
        )

    def test_naive_moment(self) -> None:
        """A datetime without a time zone counts as UTC."""
        self.assertEqual(
            self.check(timestamp=datetime(2024, 2, 29)),
            {"timestamp": datetime(2024, 2, 29, tzinfo=UTC)},
        )

    def test_no_moment(self) -> None:
        """Any other timestamp is a TypeError."""
        for value in (1.5, True, "2024-02-29", None.__class__):
            self.assertIn("timestamp", self.refuse(TypeError, timestamp=value))

    def test_range(self) -> None:
        """A timestamp that the wire cannot carry is a ValueError, in either form."""
        west = timezone(timedelta(hours=-1))
        for value in (
            -1,
            253_402_300_800,
            datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
            datetime(1, 1, 1),
            datetime(9999, 12, 31, 23, 30, tzinfo=west),
        ):
            self.assertIn("timestamp", self.refuse(ValueError, timestamp=value))
        self.check(timestamp=253_402_300_799)
        self.check(timestamp=datetime(1969, 12, 31, 23, tzinfo=west))
