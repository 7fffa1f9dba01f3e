"""Commands that stand in for a cluster."""
