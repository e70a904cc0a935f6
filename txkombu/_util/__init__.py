"""Helpers without messaging: timeouts, waiters, deadlines, validation."""
