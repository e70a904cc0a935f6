"""
txkombu on AMQP over txAMQP, through its public API, with JSON.
"""

from twisted.internet.task import react

from benchmarks.amqp_txkombu import main

if __name__ == "__main__":
    react(main, ("txamqp",))
