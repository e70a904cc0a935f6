"""
Tests that need RabbitMQ or ActiveMQ, which they start; no other test needs a broker.
"""
