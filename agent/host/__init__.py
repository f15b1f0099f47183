"""The only code that touches the node. It captures; it does not interpret."""
