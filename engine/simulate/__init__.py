"""What accounts would live through under a policy: one, told moment by moment, or many drawn at random."""
