"""AMQP 0-9-1 by other libraries' clients: txAMQP and pika."""
