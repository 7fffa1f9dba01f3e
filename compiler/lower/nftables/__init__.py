"""Lowering to nftables: frontends and backends are elements, not chains."""
