"""Folders of what was compiled: written, read back, and checked."""
