"""The node aside from its rules."""
