"""The step between us and a server's binary, run as a script of its own: give up rights, tie its life to ours, exec.

A script and not a `preexec_fn`, because code between fork and exec in a process with threads can deadlock.
usage: launch.py UID DEATH_SIGNAL PARENT_PID PROGRAM [ARGUMENT...]      (UID -1: stay who you are)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

# From linux/prctl.h and linux/capability.h
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_GET_SECUREBITS = 27
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1


class CapabilityHeader(ctypes.Structure):
    """Which process: 0 is this one."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapabilitySet(ctypes.Structure):
    """One 32-bit word of each set; the kernel takes two of these."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def become(uid: int, libc: ctypes.CDLL) -> None:
    """Turn root into `uid`, keeping one right: to pass folders that others cannot enter.

    PostgreSQL refuses to run as root, and a data folder may lie beneath one of mode 0700. Opening that folder to others
    would be a change to something that is not ours; an ambient capability is a right of this process alone.
    """
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    # PostgreSQL asks access(2) about its own programs, which leaves the capabilities of anybody but root out of account
    # unless this bit is set.
    libc.prctl(PR_SET_SECUREBITS, libc.prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) | SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    header = CapabilityHeader(CAPABILITY_VERSION_3, 0)
    bit = 1 << CAP_DAC_OVERRIDE
    words = (CapabilitySet * 2)(CapabilitySet(bit, bit, bit), CapabilitySet(0, 0, 0))
    # Where a container withholds the capability the server still works under folders that anyone may enter.
    if libc.capset(ctypes.byref(header), ctypes.byref(words)) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def settle(death_signal: int, parent: int) -> bool:
    """Tie this process's life to its parent's, and forget how that one takes signals. Returns False when it has died.

    Used both before another program takes over and in a process that was forked and goes on as it is.
    """
    if sys.platform == "linux":
        # After a change of uid, which would clear it. The parent may have died before this line: look afterwards.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            return False
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o077)
    return True


def main(arguments: list[str]) -> None:
    """Prepare this process and replace it by the program."""
    uid, death_signal, parent = (int(word) for word in arguments[:3])
    program = arguments[3:]
    if uid >= 0 and sys.platform == "linux":
        become(uid, ctypes.CDLL(None, use_errno=True))
    elif uid >= 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    if settle(death_signal, parent):
        os.execv(program[0], program)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(f"launch: {error.strerror}: {error.filename or sys.argv[4:5]}")
