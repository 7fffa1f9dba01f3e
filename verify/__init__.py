"""Proof that rule text does what the objects ask for."""
