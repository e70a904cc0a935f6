"""
STOMP 1.2 as bytes: frames, headers and message properties.  Nothing here does I/O.
"""
