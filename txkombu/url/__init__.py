"""Broker URLs: schemes, parameters, parser."""

from __future__ import annotations

from .parameters import NO_SERVER_NAME, Parameters, TLSOptions
from .parser import parameters_for, parse_url, parse_urls

__all__ = [
    "NO_SERVER_NAME",
    "Parameters",
    "TLSOptions",
    "parameters_for",
    "parse_url",
    "parse_urls",
]
