"""Commands that change or show what is loaded on this node."""
