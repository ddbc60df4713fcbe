"""The runner's use cases; each owns its transaction or is handed one."""
