"""How svcc is packaged: distributions, images, manifests, units."""
