"""Section III-D: saliency-driven coding (x264 through PyAV), search for a bit-rate, votes turned into scores."""
