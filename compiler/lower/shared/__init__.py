"""What both lowerings are made of."""
