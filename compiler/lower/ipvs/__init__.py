"""Lowering to virtual servers, sets and the rules beside them."""
