"""Errors as data, under the name that the compiler's users look for them."""

from svcc.grammar.errors import InputError, Position, Problem

__all__ = ["InputError", "Position", "Problem"]
