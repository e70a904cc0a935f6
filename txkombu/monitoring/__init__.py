"""Health and metrics of services, over HTTP."""

from .service import MonitoringService

__all__ = ["MonitoringService"]
