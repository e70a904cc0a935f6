"""
C{txamqp://}: txAMQP's client behind the contract.
"""

from .adapter import TxAMQPTransport

__all__ = ["TxAMQPTransport"]
