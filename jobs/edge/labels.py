"""Names of servers as hostname labels: whatever a customer typed becomes something safe that is nobody else's."""

from __future__ import annotations

import re
import unicodedata

MOST_OF_NAME = 40  # a label has at most 63 characters, and the mark of the server follows
MARK = 10  # hexadecimal digits of the server's id: 40 bits; the table lets no two servers have one label

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def label_of(name: str, server_id: str, mark: int = MARK) -> str:
    """Return a label for a server, such as `my-world-9f86d08188`.

    The mark keeps two servers of one name apart, and keeps a customer from being called `www` or `mail`.
    """
    plain = unicodedata.normalize("NFKD", name[:1_000]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MOST_OF_NAME].strip("-")
    return f"{slug or 'server'}-{server_id.replace('-', '')[:mark].lower()}"
