"""
Helpers that know nothing of messaging: timeouts, waiters, deadlines, validation.
"""
