"""Let C{python setup.py install} work; the metadata is in C{pyproject.toml}."""

from setuptools import setup

setup()
