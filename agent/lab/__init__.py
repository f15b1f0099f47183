"""Incidents to try things on: namespaces, real firewalls, a stand-in kubelet."""
