"""What C{twistd} and C{twist} read to know the command C{kombu}."""

from twisted.application.service import ServiceMaker

txkombu = ServiceMaker(
    "Kombu consumers",
    "txkombu.cli.twistd",
    "Host consumers of messages from a broker.",
    "kombu",
)
