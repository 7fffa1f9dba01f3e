"""What people ask of packets: the words, what they name among the objects, and why it is so."""
