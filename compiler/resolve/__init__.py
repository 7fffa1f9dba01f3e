"""What one node forwards: frontends, their backends, their policy."""
