"""An apply that goes back by itself unless it is confirmed, on a real kernel."""
