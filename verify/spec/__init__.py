"""What must happen to each packet, derived from the objects."""
