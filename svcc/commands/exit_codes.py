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
INTERRUPTED = 130
"""What a shell gives for SIGINT."""

OF_VERDICT = {"proved": OK, "violated": VIOLATED, "undecided": UNDECIDED}
