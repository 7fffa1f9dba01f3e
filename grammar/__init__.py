"""The typed rule program and its text forms."""
