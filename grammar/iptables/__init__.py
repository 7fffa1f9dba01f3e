"""iptables rules: text to typed program and back."""
