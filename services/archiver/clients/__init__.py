"""Owns the archiver's outbound calls: provider files, and the generator's word on them."""
