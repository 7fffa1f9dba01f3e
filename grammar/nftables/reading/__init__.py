"""How nftables text is read: words to expressions, statements, rules, blocks and commands."""
