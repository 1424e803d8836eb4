"""A day of impression, click and purchase logs in; a gated ESMM champion and online features out."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "2000")
"""How often a thread of torch's looks again before it sleeps; read when torch is imported. With GNU's own choice two threads that share
their cores with others are 20 times slower, with this 3 times; on idle cores both are as fast (`fields`, 2 cores, batch 512 and 4096)."""
