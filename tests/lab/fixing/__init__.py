"""What runs on the lab's node to try fixes there: each module is a program that says in JSON what it saw."""
