"""Floor 4: the functional core of a site server."""
