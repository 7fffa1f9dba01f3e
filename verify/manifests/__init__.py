"""What people get wrong in manifests, told before any cluster has seen them."""
