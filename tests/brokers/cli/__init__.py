"""The command line with a broker."""
