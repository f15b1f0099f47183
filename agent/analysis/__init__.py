"""Verbs: pure functions on the model. No clock, no environment, no I/O: the same input gives the same bytes out."""
