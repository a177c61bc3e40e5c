"""Scenarios: stories of single accounts that must come out as written, and what they reach of a policy."""
