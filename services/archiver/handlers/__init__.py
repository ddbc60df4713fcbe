"""Owns the archiver's use cases: store a finished file, give one up, copy a preview, serve it while it grows."""
