"""
The handlers of this worker.  C{service.yaml} says which queues they receive from, and
what becomes of an order that fails.
"""

from __future__ import annotations

from typing import Any

from txkombu import Message
from txkombu.service import PublisherService


async def charge(order: Any, message: Message, *, publisher: PublisherService) -> None:
    """
    Charge an order, and publish its invoice.

    The order is acknowledged when this has ended, so only after the broker has
    confirmed the invoice.  If this raises, the order is tried again.
    """
    if order["quantity"] <= 0:
        raise ValueError(f"order {order['id']} has no quantity")
    invoice = {"order": order["id"], "total": order["quantity"] * order["price"]}
    await publisher.publish(invoice, "invoices", mandatory=True, retry=True)


def send_invoice(invoice: Any, message: Message) -> None:
    """Send an invoice; put your own code here, which may also return a Deferred."""
    print(f"order {invoice['order']}: please pay {invoice['total']}", flush=True)
