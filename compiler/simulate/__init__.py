"""What a cluster would make of manifests, in memory: Nodes, Pods, addresses and ports."""
