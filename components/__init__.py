"""A day of impression, click and purchase logs in; a gated ESMM champion and online features out."""
