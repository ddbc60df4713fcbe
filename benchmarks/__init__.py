"""Commands that hold the platform against its peers in one run: `python -m benchmarks.<name>`."""
