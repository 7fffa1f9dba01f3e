"""Lowerings: one file per kernel interface."""
