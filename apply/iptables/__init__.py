"""iptables rules in the kernel: read, compared, changed."""
