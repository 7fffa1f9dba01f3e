"""Objects as kubectl shows them."""
