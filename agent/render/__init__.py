"""Reports to text, JSON and metrics. Pure; the place where strangers' bytes are made harmless."""
