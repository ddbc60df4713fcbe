"""Gives the owner of a finished segment a URL that is valid for one hour."""
