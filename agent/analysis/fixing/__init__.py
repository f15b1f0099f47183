"""From a proven finding to a plan: which rule, where, what it would change, and who must be asked instead. Pure."""
