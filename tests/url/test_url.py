"""
Brokers' URLs, and the parameters of a connection.
"""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txkombu.exceptions import InvalidURL
from txkombu.url import (
    NO_SERVER_NAME,
    Parameters,
    TLSOptions,
    parameters_for,
    parse_url,
    parse_urls,
)

PASSWORD = "s3cr3t"


class ParseTests(SynchronousTestCase):
    """L{parse_url} with URLs that are right."""

    def test_every_part(self) -> None:
        """Scheme, user, password, host, port and virtual host are read."""
        self.assertEqual(
            parse_url("amqp://ann:pw@broker.example:5673/media"),
            Parameters("amqp", "broker.example", "ann", "pw", "media", 5673),
        )

    def test_defaults(self) -> None:
        """What a URL leaves out is what Kombu takes for it."""
        found = parse_url("amqp://")
        self.assertEqual(found, Parameters())
        self.assertEqual(
            (found.hostname, found.userid, found.password, found.virtual_host),
            ("localhost", "guest", "guest", "/"),
        )
        self.assertEqual((found.heartbeat, found.connect_timeout), (60, 10))

    def test_default_ports(self) -> None:
        """Each scheme has its own port; memory has none."""
        ports = {
            "amqp": 5672,
            "amqps": 5671,
            "txamqp": 5672,
            "pika": 5672,
            "stomp": 61613,
            "stomp+ssl": 61614,
            "memory": 0,
        }
        found = {scheme: parse_url(f"{scheme}://h").port for scheme in ports}
        self.assertEqual(found, ports)

    def test_scheme_in_any_case(self) -> None:
        """The scheme's letters may be upper case."""
        self.assertEqual(parse_url("AMQP://h").transport, "amqp")

    def test_surrounding_space(self) -> None:
        """White space around a URL, as a file's line has, is no part of it."""
        self.assertEqual(parse_url(" amqp://h\n"), parse_url("amqp://h"))

    def test_percent_decoding(self) -> None:
        """User, password, host, virtual host and options are percent-decoded."""
        found = parse_url("amqp://a%40b:p%2F%3B%23@h%2Dx/v%20h%C3%A9?name=a%26b")
        self.assertEqual(
            (found.userid, found.password, found.hostname),
            ("a@b", "p/;#", "h-x"),
        )
        self.assertEqual((found.virtual_host, found.connection_name), ("v hé", "a&b"))

    def test_plus_is_a_plus(self) -> None:
        """A plus sign is no space, neither in a password nor in an option."""
        found = parse_url("amqp://a:p+q@h?name=a+b")
        self.assertEqual((found.password, found.connection_name), ("p+q", "a+b"))

    def test_at_and_colon_in_password(self) -> None:
        """An '@' or a ':' in a password is understood even if not encoded."""
        self.assertEqual(parse_url("amqp://a:p@q:r@h").password, "p@q:r")

    def test_virtual_hosts(self) -> None:
        """No path, an empty one, C{//} and C{/%2F} are the virtual host C{/}."""
        for path, name in {
            "": "/",
            "/": "/",
            "//": "/",
            "/%2F": "/",
            "/%2f": "/",
            "/media": "media",
            "//media": "/media",
            "/%2Fmedia": "/media",
            "/a/b": "a/b",
            "/a%2Fb": "a/b",
            "/%2F%2F": "//",
        }.items():
            self.assertEqual(parse_url(f"amqp://h{path}").virtual_host, name, path)

    def test_user_without_password(self) -> None:
        """A user name alone leaves the default password, as in Kombu."""
        found = parse_url("amqp://ann@h")
        self.assertEqual((found.userid, found.password), ("ann", "guest"))

    def test_empty_user_and_password(self) -> None:
        """Empty ones that are written out are empty."""
        found = parse_url("amqp://:@h")
        self.assertEqual((found.userid, found.password), ("", ""))

    def test_ipv6(self) -> None:
        """An IPv6 address stands in brackets and loses them."""
        found = parse_url("amqp://[::1]:5673/")
        self.assertEqual((found.hostname, found.port), ("::1", 5673))
        self.assertEqual(parse_url("amqp://[fe80::1%25eth0]").hostname, "fe80::1%eth0")
        self.assertEqual(parse_url("amqp://a:b@[::1]").port, 5672)

    def test_rabbitmq_examples(self) -> None:
        """The examples of RabbitMQ's URI specification, appendix A, are read so."""
        for url, wanted in {
            "amqp://user:pass@host:10000/vhost": Parameters(
                "amqp", "host", "user", "pass", "vhost", 10000
            ),
            "amqp://user%61:%61pass@ho%61st:10000/v%2fhost": Parameters(
                "amqp", "hoast", "usera", "apass", "v/host", 10000
            ),
            "amqp://": Parameters(),
            "amqp://:@/": Parameters(userid="", password=""),
            "amqp://user@": Parameters(userid="user"),
            "amqp://user:pass@": Parameters(userid="user", password="pass"),
            "amqp://host": Parameters(hostname="host"),
            "amqp://:10000": Parameters(port=10000),
            "amqp:///vhost": Parameters(virtual_host="vhost"),
            "amqp://host/": Parameters(hostname="host"),
            "amqp://host/%2f": Parameters(hostname="host"),
            "amqp://[::1]": Parameters(hostname="::1"),
        }.items():
            self.assertEqual(parse_url(url), wanted, url)

    def test_parts_left_out(self) -> None:
        """Each part may be left out, with any of the others there."""
        for url, wanted in {
            "amqp://user:pass@/vhost": Parameters(
                userid="user", password="pass", virtual_host="vhost"
            ),
            "amqp://user:pass@:5673/": Parameters(
                userid="user", password="pass", port=5673
            ),
            "amqp://:5673/vhost": Parameters(port=5673, virtual_host="vhost"),
            "amqp://host:/vhost": Parameters(hostname="host", virtual_host="vhost"),
            "amqp://[::1]:/": Parameters(hostname="::1"),
            "amqp://:/": Parameters(),
            "amqp://?heartbeat=5": Parameters(heartbeat=5.0),
            "stomp://:61614": Parameters("stomp", port=61614),
            "amqps://user@": Parameters("amqps", userid="user"),
            "memory://:@": Parameters("memory", userid="", password=""),
        }.items():
            self.assertEqual(parse_url(url), wanted, url)
        self.assertEqual(parameters_for(":5673"), (Parameters(port=5673),))

    def test_memory(self) -> None:
        """C{memory://name/vhost} names a broker and a virtual host, or neither."""
        self.assertEqual(parse_url("memory://").hostname, "")
        found = parse_url("memory://demo/media")
        self.assertEqual((found.hostname, found.virtual_host), ("demo", "media"))

    def test_options(self) -> None:
        """Options have the units of RabbitMQ: seconds, and milliseconds."""
        found = parse_url(
            "amqp://h?heartbeat=2.5&connection_timeout=1500&channel_max=16"
            "&auth_mechanism=external&name=feeds"
        )
        self.assertEqual(found.heartbeat, 2.5)
        self.assertEqual(found.connect_timeout, 1.5)
        self.assertEqual(found.channel_max, 16)
        self.assertEqual(found.auth_mechanism, "EXTERNAL")
        self.assertEqual(found.connection_name, "feeds")

    def test_wait_for_broker(self) -> None:
        """A URL may say whether to wait for a broker that cannot be reached."""
        for word, wanted in (("true", True), ("false", False)):
            found = parse_url(f"memory://h?wait_for_broker={word}")
            self.assertIs(found.wait_for_broker, wanted)
        self.assertIsNone(parse_url("memory://h").wait_for_broker)

    def test_tls_options(self) -> None:
        """The options of TLS make a L{TLSOptions}."""
        found = parse_url(
            "amqps://h?cacertfile=/etc/ca.pem&certfile=/c.pem&keyfile=/k.pem"
            "&verify=verify_none&server_name_indication=broker.example"
        )
        self.assertEqual(
            found.tls,
            TLSOptions(
                cacertfile="/etc/ca.pem",
                certfile="/c.pem",
                keyfile="/k.pem",
                verify=False,
                server_name="broker.example",
            ),
        )

    def test_server_name_disabled(self) -> None:
        """C{server_name_indication=disable} asks for no name at all."""
        found = parse_url("stomp+ssl://h?server_name_indication=disable")
        assert found.tls is not None
        self.assertEqual(found.tls.server_name, NO_SERVER_NAME)

    def test_tls_is_safe_by_default(self) -> None:
        """An encrypted scheme verifies, and one that is not has no TLS."""
        self.assertEqual(parse_url("amqps://h").tls, TLSOptions(verify=True))
        self.assertIsNone(parse_url("amqp://h").tls)


BAD = {
    "h": "begins with a transport's name",
    "": "begins with a transport's name",
    "://h": "begins with a transport's name",
    "http:/h": "begins with a transport's name",
    "amqpp://h": "unknown transport 'amqpp': did you mean 'amqp'?",
    "stom://h": "did you mean 'stomp'?",
    "xyzzy://h": "unknown transport 'xyzzy': known are amqp, ",
    "amqp://h:x": "the port is not a number",
    "amqp://h:0": "the port is not a number",
    "amqp://h:65536": "the port is not a number",
    "amqp://h:-1": "the port is not a number",
    "amqp://h:\u0661": "the port is not a number",
    "amqp://h:1:2": "the port is not a number",
    "amqp://::1": "the port is not a number",
    "amqp://[::1": "an IPv6 address is written as",
    "amqp://[::1]5672": "an IPv6 address is written as",
    "amqp://[localhost]": "an IPv6 address is written as",
    "amqp://h]": "an IPv6 address is written as",
    "amqp://[::g]": "is no IPv6 address",
    "amqp://a b": "the host has a character",
    "amqp://h%00": "the host has a character",
    "amqp://a..b": "the host can be no name: each part of it between dots has 1 to 63",
    "amqp://.a": "the host can be no name",
    "stomp://" + "a" * 64: "the host can be no name",
    "amqps://x." + "é" * 60: "the host can be no name",
    "amqp://h/%zz": "a '%' in the virtual host",
    "amqp://h/%": "a '%' in the virtual host",
    "amqp://%4:b@h": "a '%' in the user name",
    "amqp://h/%ff": "the virtual host, percent-decoded, is not UTF-8",
    "amqp://h/#top": "there is a '#'",
    "amqp://h/" + "é" * 128: "virtual_host has 256 bytes of UTF-8",
    "amqp://h?hartbeat=1": "unknown option 'hartbeat': did you mean 'heartbeat'?",
    "amqp://h?qqq=1": "unknown option 'qqq': known are heartbeat,",
    "amqp://h?a%20b=1": "unknown option: known are",
    "amqp://h?heartbeat": "the option 'heartbeat' has no value",
    "amqp://h?name=": "the option 'name' has no value",
    "amqp://h?heartbeat=1&heartbeat=2": "the option 'heartbeat' is given twice",
    "amqp://h?heartbeat=-1": "heartbeat must be a number, not '-1'",
    "amqp://h?heartbeat=nan": "heartbeat must be a number, not 'nan'",
    "amqp://h?heartbeat=1e3": "heartbeat must be a number, not '1e3'",
    "amqp://h?connection_timeout=0": "connect_timeout must be more than 0",
    "amqp://h?connection_timeout=x": "connection_timeout must be a number",
    "amqp://h?channel_max=1.5": "channel_max must be a whole number, not '1.5'",
    "amqp://h?channel_max=65536": "channel_max must be 0 to 65535, not 65536",
    "amqp://h?auth_mechanism=MD5": "auth_mechanism must be PLAIN or EXTERNAL",
    "amqp://h?wait_for_broker=1": "wait_for_broker must be true or false, not '1'",
    "amqps://h?verify=yes": "verify must be verify_peer or verify_none, not 'yes'",
    "amqps://h?keyfile=/k": "keyfile needs a certfile",
    "amqp://h?verify=verify_peer&keyfile=/k&certfile=/c&cacertfile=/ca": (
        "verify, keyfile, certfile, cacertfile cannot be used"
    ),
    "amqp://h?cacertfile=/ca": "cacertfile cannot be used: the amqp transport is not "
    "encrypted; use amqps",
    "stomp://h?verify=verify_none": "not encrypted; use stomp+ssl",
    "memory://h?certfile=/c": "the memory transport is not encrypted",
    "stomp://h?dialect=artemis": "dialect must be rabbitmq or activemq, not 'artemis'",
    "stomp://h?dialect=": "the option 'dialect' has no value",
    "stomp://h?dialekt=rabbitmq": "unknown option 'dialekt': did you mean 'dialect'?",
    "amqp://h?dialect=rabbitmq": "unknown option 'dialect': ",
    "stomp://h?heartbeat_tolerance=3": "unknown option 'heartbeat_tolerance'",
}


class BadURLTests(SynchronousTestCase):
    """URLs that are wrong, each refused with an L{InvalidURL} that says why."""

    def test_reasons(self) -> None:
        """Each error names what is wrong and, where it can, what is right."""
        for url, reason in BAD.items():
            error = self.assertRaises(InvalidURL, parse_url, url)
            self.assertIn(reason, str(error), url)
            self.assertIsInstance(error, ValueError)

    def test_not_a_str(self) -> None:
        """Only a str is a URL, and what it is not is not shown."""
        wrong: Any = b"amqp://a:s3cr3t@h"
        error = self.assertRaises(TypeError, parse_url, wrong)
        self.assertEqual(str(error), "a URL must be a str, not a bytes")

    def test_password_never_shown(self) -> None:
        """
        Whatever is wrong, and wherever a password is cut by characters that
        should have been encoded, no part of it is in the error.
        """
        for url in (
            f"ann:{PASSWORD}@h",
            f"amqp:/ann:{PASSWORD}@h",
            f"nope://ann:{PASSWORD}@h",
            f"amqp://ann:{PASSWORD}@:x",
            f"amqp://ann:{PASSWORD}\ud800@h",
            f"amqp://ann\udcff:{PASSWORD}@h",
            f"amqp://h/{PASSWORD}\ud800",
            f"amqp://h?name={PASSWORD}\ud800",
            f"amqp://h?{PASSWORD}\ud800=1",
            f"amqp://h?{PASSWORD}=1&{PASSWORD}=2",
            f"amqps://h?verify=amqp%3A//a%3A{PASSWORD}%40h",
            f"stomp://h?dialect=amqp%3A//a%3A{PASSWORD}%40h",
            f"amqp://h?heartbeat=amqp%3A//a%3A{PASSWORD}%40h",
            f"amqp://h?channel_max=amqp%3A//a%3A{PASSWORD}%40h",
            f"amqp://h?auth_mechanism=amqp%3A//a%3A{PASSWORD}%40h",
            f"amqp://ann:{PASSWORD}@h:port",
            f"amqp://ann:{PASSWORD}@h x",
            f"amqp://ann:{PASSWORD}@h?oops=1",
            f"amqp://ann:{PASSWORD}%zz@h",
            f"amqp://ann:{PASSWORD}%ff@h",
            f"amqp://ann:{PASSWORD}/@h",
            f"amqp://ann:12/{PASSWORD}@h",
            f"amqp://ann:12/{PASSWORD}@h/v",
            f"amqp://ann:12?{PASSWORD}@h",
            f"amqp://ann:12?{PASSWORD}=1@h",
            f"amqp://ann:12?verify={PASSWORD}@h",
            f"amqp://ann:12#{PASSWORD}@h",
            f"amqp://ann:a@b/{PASSWORD}@h",
            f"amqp://ann:{PASSWORD}@[::1",
        ):
            error = self.assertRaises(InvalidURL, parse_url, url)
            seen = f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"
            self.assertNotIn(PASSWORD, seen, url)


class AlternatesTests(SynchronousTestCase):
    """L{parse_urls}"""

    def test_string(self) -> None:
        """URLs with ';' between are alternates, each with its own everything."""
        first, second = parse_urls("amqp://a:b@h1/v;amqps://c:d@h2?verify=verify_none")
        self.assertEqual(first, Parameters("amqp", "h1", "a", "b", "v"))
        self.assertEqual((second.userid, second.hostname), ("c", "h2"))
        self.assertEqual(second.tls, TLSOptions(verify=False))

    def test_sequence(self) -> None:
        """A list of URLs is the same."""
        self.assertEqual(
            parse_urls(["amqp://h1", "amqp://h2"]), parse_urls("amqp://h1;amqp://h2")
        )

    def test_encoded_semicolon(self) -> None:
        """An encoded ';' in a password separates nothing."""
        (only,) = parse_urls("amqp://a:b%3Bc@h")
        self.assertEqual(only.password, "b;c")

    def test_none(self) -> None:
        """No URL at all is an error."""
        error = self.assertRaises(InvalidURL, parse_urls, [])
        self.assertEqual(str(error), "there is no URL")

    def test_one_is_wrong(self) -> None:
        """The error says which of them is wrong."""
        error = self.assertRaises(InvalidURL, parse_urls, "amqp://h;amqp://h:x")
        self.assertIn("URL 2 of 2: the port is not a number", str(error))

    def test_trailing_semicolon(self) -> None:
        """A ';' behind the last one means nothing."""
        for text in ("amqp://h;", "amqp://h; ", "amqp://h;\n"):
            self.assertEqual(parse_urls(text), (Parameters(hostname="h"),))
            self.assertEqual(parameters_for(text), (Parameters(hostname="h"),))
        self.assertEqual(len(parse_urls("amqp://h1;amqp://h2;")), 2)

    def test_empty_one(self) -> None:
        """A ';' too many before it is an error and not skipped."""
        for text in ("amqp://h;;amqp://i", "amqp://h;;", ";amqp://h", ";"):
            self.assertRaises(InvalidURL, parse_urls, text)
            error = self.assertRaises(InvalidURL, parameters_for, text)
            self.assertIn("is empty", str(error))
        self.assertRaises(InvalidURL, parameters_for, ["amqp://h", ""])

    def test_single_wrong(self) -> None:
        """A single URL's error has no number."""
        error = self.assertRaises(InvalidURL, parse_urls, "amqp://h:x")
        self.assertNotIn("URL 1", str(error))


class WriteTests(SynchronousTestCase):
    """L{Parameters.as_uri} and repr."""

    def test_password_hidden(self) -> None:
        """The password is C{**} unless asked for."""
        found = parse_url(f"amqp://ann:{PASSWORD}@h/v")
        self.assertEqual(found.as_uri(), "amqp://ann:**@h:5672/v")
        self.assertEqual(repr(found), "<Parameters amqp://ann:**@h:5672/v>")
        self.assertEqual(
            found.as_uri(include_password=True), f"amqp://ann:{PASSWORD}@h:5672/v"
        )

    def test_passphrase_hidden(self) -> None:
        """So is the passphrase of a key, which shows in no repr either."""
        found = parse_url(f"amqps://h?certfile=/c&password={PASSWORD}")
        assert found.tls is not None
        self.assertEqual(found.tls.password, PASSWORD)
        for text in (found.as_uri(), repr(found), repr(found.tls), str(found.tls)):
            self.assertNotIn(PASSWORD, text)
            self.assertIn("**", text)
        self.assertIn(f"&password={PASSWORD}", found.as_uri(include_password=True))
        self.assertIn("password=None", repr(TLSOptions()))

    def test_body_limit(self) -> None:
        """The limit of a body is read and written, on every transport."""
        for scheme in ("amqp", "stomp"):
            url = f"{scheme}://a:**@h:1//?max_message_size=1000"
            self.assertEqual(parse_url(url).max_message_size, 1000)
            self.assertEqual(parse_url(url).as_uri(), url)
        self.assertEqual(parse_url("amqp://h").max_message_size, 128 * 1024 * 1024)
        (found,) = parameters_for("amqp://h?max_message_size=7", max_message_size=9)
        self.assertEqual(found.max_message_size, 9)

    def test_no_utf8(self) -> None:
        """What is no UTF-8, such as some names of files, can be shown."""
        for arguments in (
            {"userid": "\ud800", "virtual_host": "v"},
            {"transport": "memory", "hostname": "\udcff"},
            {"transport": "amqps", "tls": TLSOptions(cacertfile="/\udcff.pem")},
        ):
            self.assertIn("%ED%", repr(Parameters(**arguments)))

    def test_default(self) -> None:
        """The default is written as Kombu writes it."""
        self.assertEqual(Parameters().as_uri(), "amqp://guest:**@localhost:5672//")

    def test_memory_is_short(self) -> None:
        """A memory broker's URL shows what it needs."""
        self.assertEqual(parse_url("memory://").as_uri(), "memory://")
        self.assertEqual(parse_url("memory://demo").as_uri(), "memory://demo")
        self.assertEqual(
            parse_url("memory://ann:pw@demo/v").as_uri(), "memory://ann:**@demo/v"
        )

    def test_options(self) -> None:
        """Options that differ from their defaults are written, in order."""
        url = (
            "amqps://a:**@[::1]:5671/v%2Fw?heartbeat=0.5&connection_timeout=1500"
            "&channel_max=7&auth_mechanism=PLAIN&name=a%20b&cacertfile=/ca.pem"
            "&certfile=/c&keyfile=/k&verify=verify_none&server_name_indication=n"
        )
        self.assertEqual(parse_url(url).as_uri(), url)

    def test_dialect(self) -> None:
        """The kind of broker to expect is read and written, on STOMP alone."""
        for url in ("stomp://a:**@h:1//?dialect=activemq", "stomp://a:**@h:1//"):
            self.assertEqual(parse_url(url).as_uri(), url)
        found = parse_url("stomp+ssl://h?dialect=rabbitmq")
        self.assertEqual(found.options, {"dialect": "rabbitmq"})
        self.assertEqual(parse_url("stomp://h").options, {})

    def test_numbers_without_exponent(self) -> None:
        """Tiny and huge numbers are written so that they can be read."""
        found = Parameters(heartbeat=1e-7, connect_timeout=1e17)
        self.assertIn("heartbeat=0.0000001&", found.as_uri())
        self.assertEqual(parse_url(found.as_uri(True)).heartbeat, 1e-7)


text = st.text(st.characters(codec="utf-8"), max_size=12)
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
seconds = st.floats(0, 1e9, allow_nan=False).map(lambda number: number or 1.0)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
hosts = st.one_of(
    st.lists(labels, min_size=1, max_size=3).map(".".join),
    st.ip_addresses().map(str),
)
own_options = st.sampled_from([{}, {"dialect": "rabbitmq"}, {"dialect": "activemq"}])
certificates = st.one_of(
    st.just((None, None)), words.map(lambda c: (c, None)), st.tuples(words, words)
)


@st.composite
def tls_options(draw: st.DrawFn) -> TLSOptions:
    certfile, keyfile = draw(certificates)
    return TLSOptions(
        cacertfile=draw(st.none() | words),
        certfile=certfile,
        keyfile=keyfile,
        verify=draw(st.booleans()),
        password=draw(st.none() | words) if certfile else None,
        server_name=draw(st.none() | words),
    )


@st.composite
def parameters(draw: st.DrawFn) -> Parameters:
    scheme = draw(st.sampled_from(["amqp", "amqps", "stomp", "stomp+ssl", "memory"]))
    tls = draw(tls_options()) if scheme in ("amqps", "stomp+ssl") else None
    return Parameters(
        scheme,
        draw(text if scheme == "memory" else hosts),
        draw(text),
        draw(text),
        draw(text),
        draw(st.integers(0, 65535)),
        draw(seconds),
        draw(seconds),
        draw(st.integers(0, 65535)),
        draw(st.sampled_from([None, "PLAIN", "EXTERNAL"])),
        draw(st.none() | words),
        tls,
        draw(st.integers(1, 2**40)),
        draw(st.sampled_from([None, True, False])),
        draw(own_options) if scheme.startswith("stomp") else {},
    )


class RoundTripTests(SynchronousTestCase):
    """What L{Parameters.as_uri} writes, L{parse_url} reads."""

    @given(parameters())
    @settings(max_examples=150, deadline=None)
    def test_round_trip(self, wanted: Parameters) -> None:
        """With its password, every set of parameters survives as a URL."""
        uri = wanted.as_uri(include_password=True)
        self.assertEqual(parse_url(uri), wanted)
        self.assertEqual(parse_urls(uri), (wanted,))

    @given(st.text(st.sampled_from("amqpsto:/@?#;=&[]%1x é."), max_size=40))
    @settings(max_examples=200, deadline=None)
    def test_any_text(self, rest: str) -> None:
        """Any text is either read or refused with an L{InvalidURL}."""
        try:
            found = parse_url(f"amqp://{rest}")
        except InvalidURL:
            return
        self.assertEqual(parse_url(found.as_uri(include_password=True)), found)


class ParametersTests(SynchronousTestCase):
    """L{Parameters} made directly."""

    def test_frozen(self) -> None:
        """They cannot be changed."""
        wanted: Any = Parameters()
        with self.assertRaises(attrs.exceptions.FrozenInstanceError):
            wanted.port = 1

    def test_values_are_checked(self) -> None:
        """Each field is checked, and the error names it."""
        wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"transport": 1}, TypeError, "a transport's name must be a str"),
            ({"transport": "amqpp"}, InvalidURL, "did you mean 'amqp'"),
            ({"wait_for_broker": 1}, TypeError, "wait_for_broker"),
            ({"hostname": None}, TypeError, "hostname must be a str"),
            ({"hostname": ""}, ValueError, "the host is missing"),
            ({"hostname": "a/b"}, ValueError, "the host has a character"),
            ({"hostname": "h:1"}, ValueError, "no IPv6 address"),
            ({"userid": b"x"}, TypeError, "userid must be a str"),
            ({"password": b"s3cr3t"}, TypeError, "password must be a str"),
            ({"virtual_host": None}, TypeError, "virtual_host must be a str"),
            ({"port": "5672"}, TypeError, "port must be an int"),
            ({"port": None}, TypeError, "port must be an int"),
            ({"port": 65536}, ValueError, "port must be 0 to 65535"),
            ({"port": -1}, ValueError, "port must be 0 to 65535"),
            ({"heartbeat": "60"}, TypeError, "heartbeat must be a number of seconds"),
            ({"heartbeat": -1}, ValueError, "heartbeat must be at least 0"),
            ({"connect_timeout": 0}, ValueError, "connect_timeout must be more than 0"),
            ({"connect_timeout": float("inf")}, ValueError, "connect_timeout"),
            ({"channel_max": True}, TypeError, "channel_max must be an int"),
            ({"auth_mechanism": 5}, ValueError, "auth_mechanism must be PLAIN"),
            ({"connection_name": ""}, TypeError, "connection_name must be a str"),
            ({"tls": True}, TypeError, "tls must be a TLSOptions"),
            (
                {"transport": "stomp", "options": {"dialect": 5}},
                TypeError,
                "dialect must be a str, not a value of type int",
            ),
            (
                {"options": {"dialect": "rabbitmq"}},
                ValueError,
                "the amqp transport has no option 'dialect'",
            ),
            ({"options": "dialect"}, TypeError, "options must be a mapping"),
            ({"tls": TLSOptions()}, ValueError, "not encrypted; use amqps"),
            (
                {"max_message_size": 0},
                ValueError,
                "max_message_size must be at least 1",
            ),
            ({"max_message_size": None}, TypeError, "max_message_size must be an int"),
            ({"hostname": "h\ud800"}, ValueError, "the host has a character"),
        ]
        for given_, kind, reason in wrong:
            error = self.assertRaises(kind, Parameters, **given_)
            self.assertIn(reason, str(error))
            self.assertNotIn(PASSWORD, str(error))

    def test_tls_options_are_checked(self) -> None:
        """So are those of TLS."""
        wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"cacertfile": 1}, TypeError, "cacertfile must be a str"),
            ({"certfile": ""}, TypeError, "certfile must be a str"),
            ({"verify": 1}, TypeError, "verify must be True or False"),
            ({"keyfile": "/k"}, ValueError, "needs a certfile"),
            ({"password": "pw"}, ValueError, "password needs a certfile"),
            ({"password": ""}, TypeError, "password must be a str"),
            (
                {"certfile": "/c", "password": f"{PASSWORD}\ud800"},
                ValueError,
                "password cannot be written as UTF-8",
            ),
            ({"ca": "/ca"}, TypeError, "ca"),
        ]
        for given_, kind, reason in wrong:
            error = self.assertRaises(kind, TLSOptions, **given_)
            self.assertIn(reason, str(error))
            self.assertNotIn(PASSWORD, repr(error))

    def test_settled(self) -> None:
        """An empty virtual host and port 0 are the defaults."""
        found = Parameters("AMQPS", "h", virtual_host="", port=0)
        self.assertEqual(
            (found.transport, found.virtual_host, found.port), ("amqps", "/", 5671)
        )


class ParametersForTests(SynchronousTestCase):
    """L{parameters_for}: what C{BrokerConnection} takes."""

    def test_nothing(self) -> None:
        """Nothing at all is AMQP on this host."""
        self.assertEqual(parameters_for(), (Parameters(),))
        self.assertEqual(parameters_for(""), (Parameters(),))
        self.assertEqual(parameters_for([]), (Parameters(),))

    def test_positional(self) -> None:
        """Host, user, password and virtual host come in Kombu's order."""
        self.assertEqual(
            parameters_for("h", "ann", "pw", "/v", 5673, "amqps"),
            (Parameters("amqps", "h", "ann", "pw", "/v", 5673),),
        )

    def test_host_and_port(self) -> None:
        """The host may carry the port; a port given by keyword wins."""
        self.assertEqual(parameters_for("h:99")[0].port, 99)
        self.assertEqual(parameters_for("h:99", port=98)[0].port, 98)
        self.assertEqual(
            parameters_for("[::1]:99")[0], Parameters("amqp", "::1", port=99)
        )
        self.assertEqual(parameters_for("::1")[0].hostname, "::1")

    def test_bad_host(self) -> None:
        """A bad port is refused here too."""
        self.assertRaises(InvalidURL, parameters_for, "h:x")

    def test_transport(self) -> None:
        """The transport's name is a scheme."""
        self.assertEqual(parameters_for(transport="memory"), parse_urls("memory://"))
        error = self.assertRaises(InvalidURL, parameters_for, transport="memry")
        self.assertIn("did you mean 'memory'", str(error))

    def test_url(self) -> None:
        """The first argument may be a URL; keywords win over its parts."""
        self.assertEqual(parameters_for("amqp://a:b@h/v"), parse_urls("amqp://a:b@h/v"))
        (found,) = parameters_for("amqp://a:b@h/v", userid="ann", heartbeat=5)
        self.assertEqual(
            (found.userid, found.password, found.heartbeat), ("ann", "b", 5)
        )

    def test_alternates(self) -> None:
        """So may several URLs or hosts; a keyword holds for all of them."""
        wanted = (Parameters(hostname="h1", port=9), Parameters(hostname="h2", port=9))
        self.assertEqual(parameters_for("h1;h2", port=9), wanted)
        self.assertEqual(parameters_for(["amqp://h1", "h2"], port=9), wanted)

    def test_contradiction(self) -> None:
        """A transport that contradicts the URL is refused; the same one is fine."""
        self.assertEqual(parameters_for("amqp://h", transport="AMQP")[0].hostname, "h")
        error = self.assertRaises(
            ValueError, parameters_for, "amqp://h", transport="stomp"
        )
        self.assertEqual(str(error), "transport='stomp' contradicts a URL of 'amqp'")

    def test_waiting_or_not(self) -> None:
        """URLs that contradict each other about waiting are refused; a keyword wins."""
        urls = "memory://a?wait_for_broker=true;memory://b?wait_for_broker=false"
        with self.assertRaisesRegex(InvalidURL, "true in one URL and false in another"):
            parameters_for(urls)
        found = parameters_for(urls, wait_for_broker=False)
        self.assertEqual([each.wait_for_broker for each in found], [False, False])

    def test_unknown_option(self) -> None:
        """A keyword that does not exist is a TypeError, with a URL and without."""
        for where in ("h", "amqp://h"):
            error = self.assertRaises(TypeError, parameters_for, where, colour="red")
            self.assertIn("colour", str(error))
