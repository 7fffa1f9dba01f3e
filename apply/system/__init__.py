"""The node aside from its rules: tools, settings, addresses, flows, the lock."""
