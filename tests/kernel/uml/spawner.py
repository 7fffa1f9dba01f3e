"""Start processes from a small one: in User Mode Linux that costs a third.

There a process is a process of the host whose pages are mapped one by one, and execve(2) begins
with a copy of all the mappings of the process that calls it (arch/um/os-Linux/skas/process.c,
copy_context_skas0). Those of a test process with Z3 and all the rest take longer to copy than most
commands run. So the kernel's first command is this file, run without any libraries: it starts the
tests and then whatever they want started, as their process would have.
"""

from __future__ import annotations

import _socket
import ctypes
import fcntl
import marshal
import os
import sys

VARIABLE = "TESTS_SPAWNER"
"""Which descriptor leads to the spawner; the command line tells of variables of SVCC that it does
not know."""
LARGEST = 1 << 17
"""Bytes of a request."""
_MOST_DESCRIPTORS = 32
_ABOVE_ALL = 200
_NEW_NETWORK = 0x40000000
_INT_SIZE = 4


def start(connection: _socket.socket, libc: ctypes.CDLL) -> bool:
    """Do what one request asks for and answer; False when nobody asks any more."""
    room = _socket.CMSG_SPACE(_MOST_DESCRIPTORS * _INT_SIZE)
    request, ancillary, _, _ = connection.recvmsg(LARGEST, room)
    if not request:
        return False
    data = b"".join(item for _, _, item in ancillary)
    given = [
        int.from_bytes(data[at : at + _INT_SIZE], sys.byteorder)
        for at in range(0, len(data), _INT_SIZE)
    ]
    mark, arguments, environment, folder, wanted, new_session = marshal.loads(request)

    # Out of the way of the numbers that the new process wants.
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _ABOVE_ALL) for one in given]
    for one in given:
        os.close(one)
    try:
        if libc.setns(high[0], _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "setns failed")
        os.chdir(folder)
        actions = [
            (os.POSIX_SPAWN_DUP2, one, number) for one, number in zip(high[1:], wanted, strict=True)
        ]
        child = os.posix_spawn(
            arguments[0], arguments, environment, file_actions=actions, setsid=new_session
        )
        answer = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except OSError as error:
        connection.send(marshal.dumps((mark, None, error.errno)))
    else:
        connection.send(marshal.dumps((mark, answer, 0)))
    for one in high:
        os.close(one)
    return True


def main(command: list[str]) -> int:
    """Start a command and serve it to its end; returns its exit code."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    os.set_inheritable(theirs.fileno(), True)
    environment = {**os.environ, VARIABLE: str(theirs.fileno())}
    child = os.posix_spawnp(command[0], command, environment)
    theirs.close()
    libc = ctypes.CDLL(None, use_errno=True)
    while start(ours, libc):
        pass
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
