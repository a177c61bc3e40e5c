"""Loads a webhook endpoint from a process of its own: clients that each wait for their answer before they send again.

Reads signed requests from a file made beforehand, so that signing costs nothing while it measures. Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import count
from pathlib import Path

import uvloop

CLIENTS = 16
MOST_SECONDS = 60.0


async def run(port: int, requests: list[bytes], seconds: float) -> dict[str, float]:
    """Send until the time or the requests are over; return events a second, and how many were not answered with 200."""
    numbers = count()
    refused = 0
    answered: list[float] = []

    async def client() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end and (number := next(numbers)) < len(requests):
            sent = time.perf_counter()
            writer.write(requests[number])
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
            answered.append(time.perf_counter() - sent)
            refused += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    began = time.perf_counter()
    end = began + min(seconds, MOST_SECONDS)
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    took = time.perf_counter() - began
    answered.sort()
    return {
        "events_per_second": len(answered) / took,
        "answered": len(answered),
        "refused": refused,
        "p50_ms": answered[len(answered) // 2] * 1000,
        "p99_ms": answered[int(len(answered) * 0.99)] * 1000,
    }


def main() -> None:
    """Arguments: port, file of requests (each preceded by its length in a line), seconds."""
    data = Path(sys.argv[2]).read_bytes()
    requests, at = [], 0
    while at < len(data):
        line_end = data.index(b"\n", at)
        size = int(data[at:line_end])
        requests.append(data[line_end + 1 : line_end + 1 + size])
        at = line_end + 1 + size
    found = uvloop.run(run(int(sys.argv[1]), requests, float(sys.argv[3])))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
