"""The analysis over firewalls of real machines, which stay outside the project, beside the checkout."""
