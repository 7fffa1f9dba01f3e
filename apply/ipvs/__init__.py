"""Virtual servers, sets and the dummy device in the kernel: read, compared, changed."""
