"""Section III-D: does saliency help to judge images that were coded with saliency? Table III and its controls."""
