"""Which rule a violation is due to: found by changing rules, one at a time."""
