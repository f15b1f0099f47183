"""Five thousand agents: the real pacing against an API server that counts."""
