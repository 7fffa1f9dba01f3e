"""The properties, proved."""
