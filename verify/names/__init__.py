"""Zones held against objects, by a reading of the specification of its own."""
