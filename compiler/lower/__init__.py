"""Lowerings: a room for each mode, and one for what they share; the modes do not meet."""
