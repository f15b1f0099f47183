"""The guarded fix, where it touches the node: guards again, journal, lock, lease, and one rule in or out."""
