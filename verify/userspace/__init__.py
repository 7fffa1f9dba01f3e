"""Configurations of nginx judged by the objects."""
