"""
Place orders, also while there is no broker: C{python order.py shop.sqlite lamp chair}.

A web server would do the same with C{pool.runInteraction(place_order, item)}.
"""

from __future__ import annotations

import sqlite3
import sys

from outbox import SCHEMA, place_order


def main(path: str, *items: str) -> None:
    """Place an order for each item, in a transaction of its own."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    for item in items:
        with connection:
            place_order(connection.cursor(), item)
        print(f"ordered {item}")
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
