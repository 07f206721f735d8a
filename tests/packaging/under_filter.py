"""Run a command under a system-call filter written as systemd writes it.

    python under_filter.py @system-service '~@privileged @resources' setpriority -- COMMAND …

Values are taken in order: plain ones allow, those that begin with "~" take away. A call that is refused
fails with EPERM.
"""

import ctypes
import errno
import os
import subprocess
import sys
from ctypes.util import find_library

ALLOW = 0x7FFF0000  # SCMP_ACT_ALLOW
REFUSE = 0x00050000 | errno.EPERM  # SCMP_ACT_ERRNO(EPERM)
ALWAYS = ("@default", "execve")  # systemd adds them to every list of allowed calls


def members(name: str) -> set[str]:
    """Return the system calls of a set such as @system-service, or the one that is named."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    )
    lines = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return {call for line in lines if line and not line.startswith("#") for call in members(line)}


def allowed(values: list[str]) -> set[str]:
    """Return the system calls that are left when every value has been applied."""
    calls: set[str] = set()
    for value in (*ALWAYS, *values):
        named = {call for name in value.removeprefix("~").split() for call in members(name)}
        calls = calls - named if value.startswith("~") else calls | named
    return calls


def confine(calls: set[str]) -> None:
    """Allow this process and its children these system calls alone, for ever."""
    library = ctypes.CDLL(find_library("seccomp"))
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(REFUSE))
    for call in sorted(calls):
        number = library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0 and library.seccomp_rule_add(context, ALLOW, number, 0) != 0:
            raise OSError(f"the system call {call} cannot be allowed")
    if library.seccomp_load(context) != 0:
        raise OSError("the filter cannot be loaded")


if __name__ == "__main__":
    end = sys.argv.index("--")
    confine(allowed(sys.argv[1:end]))
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])  # noqa: S606
