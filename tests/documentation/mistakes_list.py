"""The mistakes of docs/reference/mistakes.rst, each with its cause and its cure."""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class Mistake:
    """
    One mistake.

    @ivar title: what happened, in the words of one who made it.
    @ivar code: the mistake; it runs after L{PRELUDE}.
    @ivar cause: why that is an error.
    @ivar cure: what to write instead, as reStructuredText.
    @ivar logged: a word of the line in the log, if nothing is raised.
    """

    title: str
    code: str
    cause: str
    cure: str
    logged: str = ""


PRELUDE: Final = """\
from txkombu import BrokerConnection, Consumer, Exchange, Producer, Queue

connection = BrokerConnection("memory://mistakes")
"""

CONNECTING: Final = (
    Mistake(
        "The URL's transport is misspelt",
        'BrokerConnection("ampq://localhost")',
        "A URL begins with the name of a transport.",
        "Write ``amqp://``. The message lists all names.",
    ),
    Mistake(
        "The password has a special character",
        'BrokerConnection("amqp://worker:s3#cret@localhost")',
        "``% @ : / ? # ;`` mean something in a URL.",
        "Write the character percent-encoded, ``s3%23cret``, or give ``password=``.",
    ),
    Mistake(
        "A URL's option is misspelt",
        'BrokerConnection("amqp://localhost?hearbeat=10")',
        "txkombu refuses what it does not know, so that a typing error has no effect "
        "unnoticed.",
        "Write ``heartbeat``. `URLs and options <urls.rst>`__ lists all.",
    ),
    Mistake(
        "A setting is missing",
        'import os\n\nBrokerConnection(os.environ.get("BROKER_URL_OF_THE_SHOP"))',
        "``None`` is not taken for ``localhost``: a program without its settings would "
        "talk to the wrong broker.",
        "Set the variable, or use ``os.environ[…]``, which names it in its error.",
    ),
    Mistake(
        "Nothing listens",
        'await BrokerConnection("amqp://localhost:5672").connect()',
        "No broker runs there, or a firewall is in between.",
        "Start the broker, or correct the host and port. ``txkombu doctor URL`` finds "
        "out which. With ``wait_for_broker=True`` the program waits instead.",
    ),
    Mistake(
        "The login is refused",
        'await BrokerConnection("amqp://worker:wrong@localhost:5672/shop").connect()',
        "The user, the password or the virtual host is wrong; the broker's log says "
        "which. RabbitMQ's user ``guest`` may log in from the same machine only.",
        "Correct them. The path of the URL is the virtual host: ``/shop`` is called "
        "``shop``.",
    ),
    Mistake(
        "TLS with a port that has none",
        'await BrokerConnection("amqps://localhost:5672").connect()',
        "5672 is RabbitMQ's port without TLS, 5671 the one with it.",
        "Leave out the port, or use ``amqp://``.",
    ),
    Mistake(
        "Deferreds are awaited under asyncio",
        "import asyncio\n\nasync def main():\n    await connection.connect()\n\n"
        "asyncio.run(main())",
        "``asyncio.run`` runs asyncio's loop; Deferreds wait for Twisted's reactor.",
        "Use ``twisted.internet.task.react``. `asyncio code under Twisted "
        "<../howto/cookbook/asyncio.rst>`__ shows how the two work together.",
    ),
)

PUBLISHING: Final = (
    Mistake(
        "An await is forgotten",
        'Producer(connection).publish("hello", "q", exchange="nowhere")',
        "``publish`` returns a Deferred, and nobody looks at its result. The program "
        "goes on as if the message had been sent.",
        "Write ``await``, or add an errback to the Deferred.",
        logged="Unhandled error in Deferred",
    ),
    Mistake(
        "There is no routing key",
        'await Producer(connection).publish("hello")',
        "Without an exchange, a message goes to the default exchange, which uses the "
        "routing key as the name of a queue.",
        'Write ``publish("hello", "name-of-the-queue")``, or give an exchange.',
    ),
    Mistake(
        "A routing key is no text",
        'await Producer(connection).publish("hello", 17)',
        "A routing key is a ``str``, and nothing is converted to one.",
        "Write ``str(17)``.",
    ),
    Mistake(
        "An argument is misspelt",
        'await Producer(connection).publish("hello", "q", header={"n": 1})',
        "``publish`` takes its own arguments and AMQP's properties, and nothing else.",
        "Write ``headers``. `Producer <producer.rst>`__ lists all.",
    ),
    Mistake(
        "The exchange does not exist",
        'await Producer(connection).publish("hello", "q", exchange="feed")',
        "``exchange=`` of ``publish`` declares nothing.",
        'Give the producer an exchange, ``Producer(connection, Exchange("feed"))``, '
        "which it declares, or name it in ``declare=``.",
    ),
    Mistake(
        "No queue gets a message",
        'await Producer(connection).publish("hello", "q", mandatory=True)',
        "No queue of that name exists, or none is bound with that key. Without "
        "``mandatory`` the broker confirms the message and drops it.",
        "Declare the queue first, as with ``declare=[queue]``.",
    ),
    Mistake(
        "A body cannot be serialized",
        'await Producer(connection).publish({"tags": {"a", "b"}}, "q")',
        "JSON has no sets.",
        "Convert the value, or choose or register another serializer: `Serialization "
        "<../howto/serialization.rst>`__.",
    ),
    Mistake(
        "The serializer's name is wrong",
        'await Producer(connection).publish({"n": 1}, "q", serializer="jsn")',
        "No serializer of that name is registered.",
        "Write ``json``; the message lists all names.",
    ),
    Mistake(
        "A message is too large",
        'await Producer(connection).publish(bytes(2**27 + 1), "q")',
        "A broker limits the size of messages; RabbitMQ's default was 128 MiB, and is "
        "16 MiB from 4.0 on.",
        "Put large data where it can be fetched, and publish its address.",
    ),
    Mistake(
        "The connection was closed",
        "producer = Producer(connection)\nawait connection.close()\n"
        'await producer.publish("hello", "q")',
        "``close()`` is for good. A connection that is *lost* comes back by itself.",
        "Close it when the program ends, or make another with ``connection.clone()``.",
    ),
)

DECLARING: Final = (
    Mistake(
        "A queue is not bound to a channel",
        'await Queue("q").declare()',
        "A ``Queue`` is only a description.",
        'Call it with a channel or a connection: ``Queue("q")(connection).declare()``.',
    ),
    Mistake(
        "A queue exists with other arguments",
        'await Queue("q")(connection).declare()\n'
        'await Queue("q", durable=False)(connection).declare()',
        "A queue keeps the arguments it was first declared with.",
        "Declare it everywhere with the same arguments, or delete it first: ``txkombu "
        "delete``. ``auto_declare=False`` uses it as it is.",
    ),
    Mistake(
        "An exchange's type is wrong",
        'await Exchange("logs", "fan-out")(connection).declare()',
        "The broker has no such type; RabbitMQ then closes the connection, which comes "
        "back by itself.",
        "Write ``fanout``, or enable the plugin that has the type.",
    ),
    Mistake(
        "A queue belongs to another connection",
        'await Queue("mine", exclusive=True)(connection).declare()\n'
        "other = connection.clone()\n"
        'await Queue("mine", exclusive=True)(other).declare()',
        "Only the connection that declared an exclusive queue may use it.",
        "Use one connection, or another name; with no name the broker chooses one.",
    ),
    Mistake(
        "A time is given with a unit",
        'Queue("q", message_ttl="1h")',
        "All times are numbers of seconds.",
        "Write ``3600.0``.",
    ),
    Mistake(
        "A transport cannot do it",
        'await Queue("log", queue_type="stream")(connection).declare()',
        "Not every broker has everything.",
        "`Supported <supported.rst>`__ says which transport has it.",
    ),
    Mistake(
        "Memory brokers of two names",
        'await Queue("q")(BrokerConnection("memory://one")).declare()\n'
        'other = BrokerConnection("memory://two")\n'
        'await Queue("q")(other).queue_declare(passive=True)',
        "Each name is a broker of its own, and none is shared with other processes.",
        "Use the same name; for several processes, a real broker.",
    ),
)

CONSUMING: Final = (
    Mistake(
        "The queue does not exist",
        'consumer = Consumer(connection, Queue("q"), auto_declare=False,\n'
        "                    callbacks=[lambda body, message: message.ack()])\n"
        "await consumer.consume()",
        "With ``auto_declare=False`` the consumer uses what exists.",
        "Leave it out, or have the queue declared before.",
    ),
    Mistake(
        "A queue is given by its name",
        'Consumer(connection, "q", callbacks=[lambda body, message: message.ack()])',
        "A consumer declares its queues, and needs their arguments for that.",
        'Write ``Queue("q")``.',
    ),
    Mistake(
        "A callback takes the wrong arguments",
        "def handle(body):\n    print(body)\n\n"
        'Consumer(connection, Queue("q"), callbacks=[handle])',
        "A callback is called with the decoded body and the message.",
        "Write ``def handle(body, message):``.",
    ),
    Mistake(
        "Nothing is acknowledged",
        "def handle(body, message):\n    print(body)\n\n"
        'consumer = Consumer(connection, Queue("q"), callbacks=[handle],\n'
        "                    prefetch_count=2)\n"
        "await consumer.consume()\n"
        "for number in range(3):\n"
        '    await Producer(connection).publish("hello", "q")',
        "The broker hands out ``prefetch_count`` messages, and waits for them to be "
        "settled.",
        "Call ``message.ack()`` when the work is done, or host the function with "
        "``@consumer``, which does that.",
        logged="unsettled",
    ),
    Mistake(
        "A message is acknowledged twice",
        'queue = Queue("q")(connection)\n'
        'await Producer(connection).publish("hello", "q", declare=[queue])\n'
        "message = await queue.get()\n"
        "await message.ack()\n"
        "await message.ack()",
        "Each message is settled once, by one place in the program.",
        "Remove one; ``message.acknowledged`` says whether it was settled.",
    ),
    Mistake(
        "A content type is not accepted",
        'queue = Queue("q")(connection)\n'
        'await Producer(connection).publish({"n": 1}, "q", serializer="pickle",\n'
        "                                   declare=[queue])\n"
        "(await queue.get()).payload",
        "Reading pickle runs code that the sender chose, so it is not accepted by "
        "default.",
        'Use json; or, if you trust all who can publish, ``accept=["pickle", '
        '"json"]``.',
    ),
    Mistake(
        "A body is not what its content type says",
        'queue = Queue("q")(connection)\n'
        'await Producer(connection).publish("{n: 1}", "q", declare=[queue],\n'
        '                                   content_type="application/json")\n'
        "(await queue.get()).payload",
        "The sender labels its messages wrongly. In a consumer, the failure policy "
        "decides what becomes of the message.",
        "Mend the sender; ``on_decode_error=`` sees such messages, and "
        "``message.body`` has the bytes.",
    ),
    Mistake(
        "No server answers a call",
        "from txkombu.rpc import RPCClient\n\n"
        'await RPCClient(connection).call("prices", {"of": "tea"})',
        "The queue of the server does not exist: no server has started yet.",
        "Start the server first, or try again. A server that runs and does not answer "
        "makes ``OperationTimeout`` instead.",
    ),
)

SERVICES: Final = (
    Mistake(
        "A service hosts something else than a consumer",
        "from txkombu.service import ConsumerService\n\n"
        'ConsumerService("amqp://localhost", Queue("q"))',
        "A service makes its consumers itself, on a channel of its own.",
        "Give a subclass of ``Consumer``, or a function with ``@consumer(Queue(…))`` "
        "above it.",
    ),
    Mistake(
        "A configuration file has an unknown key",
        "from pathlib import Path\n\n"
        "from txkombu.configuration import read_file\n\n"
        'Path("service.yaml").write_text("brokr: amqp://localhost\\n")\n'
        'read_file("service.yaml")',
        "Each key of a configuration file is checked before anything starts.",
        "Correct the lines that it names; `Configuration files <configuration.rst>`__ "
        "has all keys.",
    ),
    Mistake(
        "twistd does not know the command",
        "from twisted.scripts.twistd import ServerOptions\n\n"
        'ServerOptions().parseOptions(["--nodaemon", "kombo"])',
        "The command is misspelt; or txkombu is installed in another environment than "
        "twistd.",
        "Write ``twistd kombu``, with the ``twistd`` of the environment in which "
        "``python -m txkombu`` works.",
    ),
)

SECTIONS: Final = {
    "Connecting": CONNECTING,
    "Publishing": PUBLISHING,
    "Declaring": DECLARING,
    "Consuming": CONSUMING,
    "Services": SERVICES,
}
