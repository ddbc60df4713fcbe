"""Fetches, checks, masters and stores what providers made; the only service that may fetch provider files."""
