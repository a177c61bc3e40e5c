"""Small real programs that the tests have a host run, each with one habit."""

from __future__ import annotations

import sys
from textwrap import dedent


def _python(text: str) -> list[str]:
    return [sys.executable, "-S", "-E", "-u", "-c", dedent(text)]


# answers every line; ends at SIGTERM as any program does
ECHO = _python("""
    import sys
    print("ready")
    for line in sys.stdin:
        print("heard", line.strip())
""")

# finds out whether another copy of it runs in the same directory: then it leaves `two` behind
ALONE = _python("""
    import fcntl, sys, time
    lock = open("lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        open("two", "w").close()
        sys.exit(3)
    print("ready")
    time.sleep(600)
""")

# does not end when asked
STUBBORN = _python("""
    import signal, time
    signal.signal(signal.SIGTERM, lambda *_: print("no"))
    print("ready")
    while True:
        time.sleep(600)
""")

# starts a child in a session of its own, which does not end when asked
FORKING = _python("""
    import os, signal, time
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(writing, b"x")
        time.sleep(600)
    os.read(reading, 1)
    print("ready")
    time.sleep(600)
""")

# ends at once, with a code of its own
BROKEN = _python("""
    import sys
    print("no world to load")
    sys.exit(7)
""")

# shows everything that it was told through its environment
TELLING = _python("""
    import json, os, time
    print(json.dumps(dict(os.environ)))
    print("ready")
    time.sleep(600)
""")

# prints three times what a log of bounded size holds
FLOODING = _python("""
    import time
    for number in range(30000):
        print(f"{number:06d}", "x" * 93)
    print("ready")
    time.sleep(600)
""")

# closes its input
DEAF = _python("""
    import os, time
    os.close(0)
    print("ready")
    time.sleep(600)
""")

# does not read its input
IDLE = _python("""
    import time
    print("ready")
    time.sleep(600)
""")
