"""What leads people to a server: records in DNS and the registration at a proxy.

`publish`, `catch_up` and `withdraw` are what provisioning, the lifting of a restriction and deletion call. They write
down what they did, and raise for no name server or proxy that is away: a worker tries again.
"""

from jobs.edge.publication import catch_up, publish, withdraw

__all__ = ["catch_up", "publish", "withdraw"]
