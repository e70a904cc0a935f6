"""Consumers hosted by a Twisted service."""

from .consumer_service import ConsumerService
from .hosted_consumer import ConsumerFactory

__all__ = ["ConsumerFactory", "ConsumerService"]
