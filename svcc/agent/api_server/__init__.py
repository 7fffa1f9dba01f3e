"""An API server: how it is reached, who asks, and objects of it that are listed and watched."""
