"""What leads people to a server: records in DNS and the registration at a proxy.

`publish` and `withdraw` are what provisioning and deletion call; both write down what they did, and neither raises for
a name server or proxy that is away: a worker tries again.
"""

from jobs.edge.publication import publish, withdraw

__all__ = ["publish", "withdraw"]
