"""Turns a request into a run: presets, plan, brief and safety."""
