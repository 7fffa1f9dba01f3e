"""What was not given or not looked at, and which findings stay open because of it."""
