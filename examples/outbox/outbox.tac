"""Relay and shipping in one process: C{twistd -n -y outbox.tac}."""

import os
import sys
from functools import partial

from twisted.application.service import Application

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from outbox import Relay, Shipping, open_database

from txkombu.service import ConsumerService, PublisherService

broker = os.environ.get("TXKOMBU_BROKER", "amqp://guest:guest@localhost//")
pool = open_database(os.environ.get("OUTBOX", "shop.sqlite"))

application = Application("outbox")
publisher = PublisherService(broker)
publisher.setServiceParent(application)
Relay(pool, publisher.producer(routing_key="orders")).setServiceParent(publisher)
shipping = ConsumerService(broker, partial(Shipping, pool=pool))
shipping.setServiceParent(application)
