"""Facts about the kernel that both models take as given: the trusted base."""
