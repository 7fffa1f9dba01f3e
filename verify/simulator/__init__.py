"""One packet, plainly: the second opinion."""
