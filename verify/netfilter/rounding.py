"""How far a share may be from 1/n: what the kernel and what programs round to."""

from __future__ import annotations

from fractions import Fraction

from svcc.grammar.iptables.program import PROBABILITY_ONE

KERNEL_ROUNDING = Fraction(4, PROBABILITY_ONE)
FIVE_DIGITS = Fraction(15, 1_000_000)
