"""Random weights in the official formats, for rehearsals and tests; nothing that computes imports them."""
