"""Orchestration: collect a capture, have it analysed, keep the history. No HTTP."""
