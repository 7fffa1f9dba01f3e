"""Statements of the operator's own."""
