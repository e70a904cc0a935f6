"""
The ActiveMQ Classic of the test suite, from Debian's package.

Each is started once per run, when a test first asks for it.  Its configuration has only
STOMP, with and without TLS, and a store on disk.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.support.broker_process import (
    HOST,
    TLS_HOST,
    Child,
    Node,
    Nodes,
    alive,
    free_ports,
    missing,
    revived,
)
from tests.support.certificates import Authority

USER = "guest"
"""
This user may do everything; the name is also the password.
"""
STRANGER = "stranger"
"""
This user may only log in; the name is also the password.
"""

READER = "reader"
"""
This user may consume, but not send; the name is also the password.
"""

_LIBRARIES = Path("/usr/share/activemq/lib")
_STORE_PASSWORD = "of the tests"
_XML = """\
<beans xmlns="http://www.springframework.org/schema/beans"
       xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
       xsi:schemaLocation="
         http://www.springframework.org/schema/beans
         http://www.springframework.org/schema/beans/spring-beans.xsd
         http://activemq.apache.org/schema/core
         http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="txkombu"
          useJmx="false" useShutdownHook="false" dataDirectory="{folder}/data">
    <persistenceAdapter>
      <!-- A new queue without a message is safe after one: it was 5 s. -->
      <kahaDB directory="{folder}/data/kahadb" journalMaxFileLength="8mb"
              checkpointInterval="500"/>
    </persistenceAdapter>
    <plugins>
      <simpleAuthenticationPlugin>
        <users>
          <authenticationUser username="{user}" password="{user}" groups="all"/>
          <authenticationUser username="{stranger}" password="{stranger}"
                              groups="none"/>
          <authenticationUser username="{reader}" password="{reader}"
                              groups="readers"/>
        </users>
      </simpleAuthenticationPlugin>
      <authorizationPlugin><map><authorizationMap><authorizationEntries>
        <authorizationEntry queue="&gt;" read="all,readers" write="all"
                            admin="all,readers"/>
        <authorizationEntry topic="&gt;" read="all,readers" write="all"
                            admin="all,readers"/>
        <authorizationEntry topic="ActiveMQ.Advisory.&gt;"
                            read="all,readers,none" write="all,readers,none"
                            admin="all,readers,none"/>
      </authorizationEntries></authorizationMap></map></authorizationPlugin>
    </plugins>
    <sslContext>
      <sslContext keyStore="file:{folder}/store.p12" keyStoreType="pkcs12"
                  keyStorePassword="{store_password}"/>
    </sslContext>
    <systemUsage><systemUsage>
      <memoryUsage><memoryUsage limit="256 mb"/></memoryUsage>
      <storeUsage><storeUsage limit="2 gb"/></storeUsage>
      <tempUsage><tempUsage limit="256 mb"/></tempUsage>
    </systemUsage></systemUsage>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://{host}:{stomp_port}"/>
      <transportConnector name="stomp+ssl" uri="stomp+ssl://{host}:{tls_port}"/>
    </transportConnectors>
  </broker>
</beans>
"""
_LOGGING = """\
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1} %m%n
"""


class ActiveMQ(Node):
    """
    An ActiveMQ that listens for STOMP.

    @ivar stomp_port: its port for STOMP.
    @ivar tls_port: its port for STOMP over TLS.
    @ivar authority: the authority that signed its certificate.
    """

    product = "ActiveMQ"

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="txkombu-activemq-")))
        self.stomp_port, self.tls_port = free_ports(2)
        self.authority = Authority(self.folder)
        self._environment = {"PATH": os.defpath, "LANG": "C.UTF-8"}
        self._write_files()

    @property
    def stomp_url(self) -> str:
        """The URL that clients connect to."""
        return f"stomp://{USER}:{USER}@{HOST}:{self.stomp_port}"

    @property
    def tls_url(self) -> str:
        """
        The URL that clients connect to over TLS; its certificate is for this host.
        """
        ca = self.authority.cacertfile
        place = f"{USER}:{USER}@{TLS_HOST}:{self.tls_port}"
        return f"stomp+ssl://{place}?cacertfile={ca}"

    def ports(self) -> tuple[int, ...]:
        """Return the ports on which it listens once it runs."""
        return (self.stomp_port, self.tls_port)

    def _write_files(self) -> None:
        certificate = Path(self.authority.sign(TLS_HOST)).read_bytes()
        (self.folder / "store.p12").write_bytes(_key_store(certificate))
        (self.folder / "log4j.properties").write_text(_LOGGING)
        (self.folder / "activemq.xml").write_text(
            _XML.format(
                folder=self.folder,
                host=HOST,
                stomp_port=self.stomp_port,
                tls_port=self.tls_port,
                user=USER,
                stranger=STRANGER,
                reader=READER,
                store_password=_STORE_PASSWORD,
            )
        )

    def _launch(self) -> Child:
        return self._spawn(
            "java",
            "-Xmx512m",
            # It starts faster so, and leaves the other core to the tests.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={self.folder}",
            f"-Dlog4j.configuration=file:{self.folder}/log4j.properties",
            "-cp",
            f"{_LIBRARIES}/*:{_LIBRARIES}/optional/*",
            "org.apache.activemq.console.Main",
            "start",
            f"xbean:file:{self.folder}/activemq.xml",
        )


def _key_store(pem: bytes) -> bytes:
    """Write a certificate and its key in the form that Java reads."""
    begin = pem.index(b"-----BEGIN PRIVATE KEY")
    key = serialization.load_pem_private_key(pem[begin:], None)
    certificate = x509.load_pem_x509_certificate(pem[:begin])
    encryption = serialization.BestAvailableEncryption(_STORE_PASSWORD.encode())
    return pkcs12.serialize_key_and_certificates(
        b"broker",
        key,  # type: ignore[arg-type]  # RSA
        certificate,
        None,
        encryption,
    )


_nodes = Nodes()


def activemq() -> ActiveMQ:
    """
    Return the ActiveMQ of this run; start it if it does not run yet.

    @raise SkipTest: it is not installed, and this is not CI.
    @raise BrokerFailed: it does not start.
    """
    return alive(_require("shared"))


def fragile_activemq() -> ActiveMQ:
    """
    Return another ActiveMQ, which tests may kill or freeze; otherwise as L{activemq}.
    """
    return revived(_require("fragile"))


def _require(which: str) -> ActiveMQ:
    if not (_LIBRARIES / "activemq-stomp.jar").exists():
        missing("activemq")
    return _nodes.once(which, ActiveMQ)
