"""What nftables holds beside iptables' tables."""
