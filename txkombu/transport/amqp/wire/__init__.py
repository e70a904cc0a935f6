"""AMQP 0-9-1 as bytes: frames, methods, tables and contents.  Nothing here does I/O."""
