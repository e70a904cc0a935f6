"""
Services that a file of YAML describes: C{twistd kombu --config service.yaml}.

The whole file is checked before anything starts, and every fault is told with its file,
line and key.
"""

from __future__ import annotations

from .errors import ConfigurationError, Problem
from .plan import Plan
from .reading import read_file

__all__ = ["ConfigurationError", "Plan", "Problem", "read_file"]
