"""What is loaded on this node: confirmed, undone, noted, listed."""
