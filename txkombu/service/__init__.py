"""Consumers and publishers hosted by Twisted services."""

from .consumer_service import ConsumerService
from .handlers import consumer
from .hosted_consumer import ConsumerFactory
from .publisher_service import PublisherService

__all__ = ["ConsumerFactory", "ConsumerService", "PublisherService", "consumer"]
