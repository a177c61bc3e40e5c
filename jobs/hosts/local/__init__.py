"""Servers on this very machine: a directory and a child process each. `host` puts the other modules together."""
