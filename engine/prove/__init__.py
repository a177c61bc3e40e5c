"""Proofs about a policy: its states and times explored exhaustively and held against `guarantees.yaml`."""
