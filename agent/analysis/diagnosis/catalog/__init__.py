"""Every cause kubereach can name, once: its code, its title and how bad it is. One module for each area.

A code is an interface: alerts, runbooks and scripts match on it. `docs/findings/` has a page for each, and a test holds
the two together.
"""

from agent.analysis.diagnosis.catalog import control_plane, doubt, firewall, kubelet, names, node
from agent.analysis.diagnosis.catalog.cause import CATALOG, Cause

__all__ = ["CATALOG", "Cause", "control_plane", "doubt", "firewall", "kubelet", "names", "node"]
