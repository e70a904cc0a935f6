"""
Hosting consumers: a Twisted service that keeps them consuming.
"""

from .consumers import ConsumerService
from .hosted import ConsumerFactory

__all__ = ["ConsumerFactory", "ConsumerService"]
