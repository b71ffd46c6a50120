"""Networks that are trained here: on quality alone, on quality and saliency, on saliency alone, and as controls."""
