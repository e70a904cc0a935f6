"""
Services described by a file of YAML: C{twistd kombu --config service.yaml}.

The whole file is checked before anything starts, and every fault is told with its file,
line and key.
"""

from __future__ import annotations

from .errors import ConfigurationError, Problem
from .reading import read_file
from .service_file import ServiceFile

__all__ = ["ConfigurationError", "Problem", "ServiceFile", "read_file"]
