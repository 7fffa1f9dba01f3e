"""Configurations of nginx: directives, their text, and how they are read."""
