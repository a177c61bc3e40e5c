"""Mutants of a policy: small wrong changes of its text, and whether its scenarios and guarantees notice them."""
