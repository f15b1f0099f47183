"""The model held to the kernel by chance: random firewalls, random packets, and a kernel in a namespace as the judge."""
