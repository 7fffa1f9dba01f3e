"""The node agent: follows objects, and keeps the rules of this node as they want them."""
