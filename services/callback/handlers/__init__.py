"""What happens when a provider, or the generator that asked it, says something about an attempt."""
