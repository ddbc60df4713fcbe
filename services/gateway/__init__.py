"""The edge that browsers and partners speak to: authentication, limits, progress stream, media, the page."""
