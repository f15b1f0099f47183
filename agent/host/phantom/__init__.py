"""A pod for the time of a look: made through the node's own CNI, or on its bridge, and taken back in every case."""
