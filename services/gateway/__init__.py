"""The edge: authentication, limits, progress streams, media with ranges, the earlier paths, the page."""
