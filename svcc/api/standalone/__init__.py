"""What a cluster does beside forwarding: giving numbers, listing objects, telling pods."""
