"""Lowering to iptables rules."""
