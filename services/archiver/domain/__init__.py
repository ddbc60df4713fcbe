"""Owns the archiver's decisions without I/O: which addresses, which containers, which form."""
