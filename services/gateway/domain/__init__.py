"""Owns the gateway's pure decisions: rates, ranges, addresses, cursors, the rollout."""
