"""What is put in the place of what was read, before it is judged."""
