"""From a firewall's own print to a `Ruleset`: iptables-save text, nft JSON, and the two held against each other."""
