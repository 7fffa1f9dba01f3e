"""What a first packet costs the kernel: where it is sent, past which rules, and the report."""
