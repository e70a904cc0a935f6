"""The plugin by which C{twistd} and C{twist} have the command C{kombu}."""

from twisted.application.service import ServiceMaker

txkombu = ServiceMaker(
    "Kombu consumers",
    "txkombu.cli.tap",
    "Host consumers of messages from a broker.",
    "kombu",
)
