"""Checks of the whole checkout by other programs."""
