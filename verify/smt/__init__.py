"""Slices as formulas."""
