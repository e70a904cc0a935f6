"""Class and method numbers (AMQP 0-9-1, "protocol constants")."""

from __future__ import annotations

from typing import Final

EXCHANGE_DECLARE: Final = (40, 10)
EXCHANGE_DELETE: Final = (40, 20)
EXCHANGE_BIND: Final = (40, 30)
EXCHANGE_UNBIND: Final = (40, 40)
QUEUE_DECLARE: Final = (50, 10)
QUEUE_BIND: Final = (50, 20)
QUEUE_PURGE: Final = (50, 30)
QUEUE_DELETE: Final = (50, 40)
QUEUE_UNBIND: Final = (50, 50)
BASIC_QOS: Final = (60, 10)
BASIC_PUBLISH: Final = (60, 40)
BASIC_CONSUME: Final = (60, 20)
BASIC_GET: Final = (60, 70)
BASIC_ACK: Final = (60, 80)
BASIC_REJECT: Final = (60, 90)
BASIC_RECOVER: Final = (60, 110)
BASIC_NACK: Final = (60, 120)
