"""HTTP: parse the request, call the service, render."""
