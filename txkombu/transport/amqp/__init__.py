"""AMQP 0-9-1: native, by txAMQP, by pika."""
