"""
docs/reference/urls.rst has every scheme and option, as the parser takes them.
"""

from __future__ import annotations

from tests.documentation import url_options
from tests.support.snippets import PageTestCase
from txkombu.exceptions import InvalidURL
from txkombu.url import parse_url
from txkombu.url.parser import _OPTIONS, _TLS_OPTIONS, _WORDS
from txkombu.url.schemes import SCHEMES

EXAMPLES = {
    "heartbeat": "0.5",
    "connection_timeout": "100",
    "channel_max": "5",
    "auth_mechanism": "EXTERNAL",
    "max_message_size": "5",
    "dialect": "rabbitmq",
    "certfile": "/a.pem",
}


def example(option: str) -> str:
    """Return a query that an option makes sense in."""
    words = list(_WORDS.get(option, {"x": None}))
    given = f"{option}={EXAMPLES.get(option, words[0])}"
    needs = option in ("keyfile", "password")
    return f"{given}&certfile=/a.pem" if needs else given


class OptionsTests(PageTestCase):
    """The tables, and the code."""

    async def test_page(self) -> None:
        """The examples of docs/reference/urls.rst run."""
        text = url_options.PAGE.read_text(encoding="utf-8")
        self.assertGreater(await self.run_text(text), 1)

    def test_written(self) -> None:
        """The tables are as the code has them."""
        page = url_options.PAGE.read_text(encoding="utf-8")
        for made in (url_options.schemes(), url_options.options()):
            self.assertIn(
                made, page, "python -m tests.documentation.url_options writes it"
            )

    def test_complete(self) -> None:
        """Every option of a URL is listed."""
        own = [name for each in SCHEMES.values() for name in each.own_options()]
        self.assertEqual(set(url_options.OPTIONS), {*_OPTIONS, *_TLS_OPTIONS, *own})

    def test_takers(self) -> None:
        """A scheme that an option means something to takes it."""
        for option in url_options.OPTIONS:
            for scheme in url_options.takers(option):
                parse_url(f"{scheme}://host?{example(option)}")

    def test_others(self) -> None:
        """An option of TLS, or of another transport, is refused."""
        for option in (*_TLS_OPTIONS, "dialect"):
            for scheme in {*SCHEMES} - {*url_options.takers(option)}:
                with self.assertRaises(InvalidURL):
                    parse_url(f"{scheme}://host?{example(option)}")

    def test_defaults(self) -> None:
        """A default has the unit of the URL."""
        self.assertEqual(url_options.default_of("connection_timeout"), "10,000")
        self.assertEqual(url_options.default_of("verify"), "``verify_peer``")
        self.assertEqual(url_options.default_of("name"), "not given")
