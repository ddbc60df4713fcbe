"""The runner: the order of a run's segments, their deadlines, and what becomes of a run."""
