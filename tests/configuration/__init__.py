"""Services that a file of YAML describes."""
