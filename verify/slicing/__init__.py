"""The part of the rules that concerns a region of packets, its numbers taken out."""
