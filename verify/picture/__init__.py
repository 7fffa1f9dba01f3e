"""What is seen of Services, as values that any writer can draw."""
