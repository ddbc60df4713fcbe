"""The generator's use cases, one noun a file; each owns its transactions."""
