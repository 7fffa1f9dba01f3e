"""The solver looks again at what ordinary code established."""
