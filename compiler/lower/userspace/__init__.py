"""The lowering to a proxy in user space: nginx's stream module."""
