"""Regions that are cut alike, told without cutting each of them."""
