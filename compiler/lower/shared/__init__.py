"""What every lowering to rules is made of: chains, trees of chains, conditions."""
