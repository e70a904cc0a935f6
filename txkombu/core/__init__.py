"""What survives a loss: channels, consumers, declarations and waiting publishes."""
