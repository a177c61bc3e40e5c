"""Servers as containers of a Docker Engine. `host` puts the other modules together."""
