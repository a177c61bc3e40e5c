"""The policy language: load, check, decide, time. Pure: no clock, database, network or settings."""
