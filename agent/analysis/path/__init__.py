"""A packet's way through a `Ruleset`, as the kernel runs it: which chains in which order, which rules hold, which decides."""
