"""
Hosting consumers: a Twisted service that keeps them consuming.
"""

from .consumer_service import ConsumerService
from .hosted_consumer import ConsumerFactory

__all__ = ["ConsumerFactory", "ConsumerService"]
