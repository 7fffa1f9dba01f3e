"""What is loaded, seen from outside, on a real kernel."""
