"""The agent: sources, what they see, what it makes of it."""
