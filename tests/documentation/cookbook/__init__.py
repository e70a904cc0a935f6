"""Every recipe of the cookbook runs, and does what it says."""
