"""kubereach: can pods on this node reach this node's kubelet, and if not, which rule stops them?"""

__version__ = "0.1.0"
