"""Zones of the domain name system and their files."""
