"""Which rules matter: those that no packet ever comes to, and chains that nobody leads to.

A folder of its own because it asks about a ruleset alone, with no packet in hand: `path` answers for one packet or for a
network of them, `diagnosis` for one incident.
"""
