"""
STOMP 1.2, for RabbitMQ's plugin and for ActiveMQ Classic.
"""
