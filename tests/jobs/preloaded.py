"""Imported once by the server that test processes are forked from: everything that `forbear` would import and load."""

from engine.decide import compiled
from storage import policies
from tests.factories import shipped_policy

for module in (
    "forbear",
    "jobs.apply",
    "jobs.commands",
    "jobs.controller",
    "jobs.dry_run",
    "jobs.hosts.local.host",
    "jobs.worker",
):
    __import__(module)

policies._keep(shipped_policy())  # as if this process had decided under it before
compiled(shipped_policy())
