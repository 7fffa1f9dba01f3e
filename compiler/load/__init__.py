"""From files to typed objects, every problem with its place."""
