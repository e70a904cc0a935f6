"""Tests of request and reply on real brokers."""
