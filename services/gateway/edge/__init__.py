"""Owns what happens to every request before a route sees it: CORS and the limit per address."""
