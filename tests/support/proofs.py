"""One prover for all tests of a process: what one test had proved for all numbers, the next need
not prove again, as :func:`svcc.verify.engine.verify` goes from node to node.

Tests of the prover itself, and those that break the verifier on purpose, have provers of their own.
"""

from __future__ import annotations

from functools import partial

from svcc.verify import engine
from svcc.verify.proof.prover import Prover

verify = partial(engine.verify, prover=Prover())
"""As :func:`svcc.verify.engine.verify`."""
