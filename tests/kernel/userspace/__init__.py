"""Userspace mode with a real nginx and real connections."""
