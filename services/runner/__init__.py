"""Decides which segment of a run is asked for next, and when a run is ready or failed."""
