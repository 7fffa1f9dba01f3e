"""What is configured of a node."""
