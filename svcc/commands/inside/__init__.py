"""Commands that show what is inside."""
