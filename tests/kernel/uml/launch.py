"""Start User Mode Linux where ptrace cannot write the processor's whole extended state.

Linux 6.1 as a process copies registers of a fixed size, and a kernel on a processor with AMX
takes only all 11 KiB of them, so the first system call of init fails with EFAULT. When the
request is refused altogether, User Mode Linux falls back to the old one, for x87 and SSE alone.
What needs more must not be used inside: see ``tests/kernel/uml/boot.py``.

Source: arch/x86/um/os-Linux/registers.c of 6.1, arch/x86/kernel/fpu/regset.c, seccomp(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_FILTER_MODE = 2
_X86_64, _PTRACE = 0xC000003E, 101
_GET_REGISTER_SET, _SET_REGISTER_SET, _EXTENDED_STATE = 0x4204, 0x4205, 0x202
_EIO = 5
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERROR, _ALLOW = 0x00050000, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _instruction(code: int, constant: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, constant)


def refuse_extended_state() -> None:
    """Have the two ptrace requests for the extended state fail, here and in every child."""
    program = b"".join(
        (
            _instruction(_LOAD, 4),
            _instruction(_IF_EQUAL, _X86_64, 0, 8),
            _instruction(_LOAD, 0),
            _instruction(_IF_EQUAL, _PTRACE, 0, 6),
            _instruction(_LOAD, 16),
            _instruction(_IF_EQUAL, _GET_REGISTER_SET, 1, 0),
            _instruction(_IF_EQUAL, _SET_REGISTER_SET, 0, 3),
            _instruction(_LOAD, 32),
            _instruction(_IF_EQUAL, _EXTENDED_STATE, 0, 1),
            _instruction(_RETURN, _ERROR | _EIO),
            _instruction(_RETURN, _ALLOW),
        )
    )
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(program, len(program))
    filters = _Program(len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _FILTER_MODE, ctypes.byref(filters), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "cannot install the filter")


def stay_on_one_processor() -> None:
    """The kernel and the processes that it traces take turns: they never run at once, and to
    wake one on another processor is most of what a system call would cost.
    """
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


if __name__ == "__main__":
    stay_on_one_processor()
    refuse_extended_state()
    os.execvp(sys.argv[1], sys.argv[1:])
