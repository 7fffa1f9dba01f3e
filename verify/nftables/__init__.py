"""Rule sets of nftables, translated to the rules that both models judge."""
