"""txkombu: Kombu's messaging model, native to Twisted."""
