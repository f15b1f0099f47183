"""The application in memory, asked by a client in a thread of its own: every route, the gate before them, every error."""
