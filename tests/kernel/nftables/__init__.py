"""nftables mode against the kernel."""
