"""That nothing wrong is proved: the verifier against what it leaves out, and against the whole."""
