"""Exit codes of the commands; docs/cli.md says which command has which."""

from __future__ import annotations

OK = 0
VIOLATED = 1
DIFFERENT = 1
FAILED = 1
BAD_INPUT = 2
UNDECIDED = 3
INTERNAL_ERROR = 70
"""EX_SOFTWARE of sysexits.h; verify gives 3, since it must never seem to have proved."""
CANNOT_WRITE = 74
"""EX_IOERR of sysexits.h: standard output took no more."""
INTERRUPTED = 130
"""What a shell gives for SIGINT."""
NO_READER = 141
"""What a shell gives for SIGPIPE: whoever read standard output went away."""

OF_VERDICT = {"proved": OK, "violated": VIOLATED, "undecided": UNDECIDED}
