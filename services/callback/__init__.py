"""The callback: hears what providers say about attempts, checks that they may say it, and writes it down once."""
