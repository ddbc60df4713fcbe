"""Owns the edge's HTTP: one module for each audience."""
