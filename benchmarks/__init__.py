"""
Benchmarks that measure txkombu and other clients in one run, and compare them as
ratios.
"""
