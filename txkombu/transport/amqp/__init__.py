"""
AMQP 0-9-1: the native transport, and those that adapt another library's client.
"""
