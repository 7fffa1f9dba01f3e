"""Loading rule programs into the kernel."""
