"""The version; C{setup.py} reads this line without importing anything."""

__version__ = "0.1.0"
