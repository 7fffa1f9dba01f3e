"""What differs between two states of rules, for a proof that looks at that alone."""
