"""What is loaded, read as Services again."""
