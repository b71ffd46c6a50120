"""Section III-C: one network for quality and for saliency. Table II, its controls, and the film of a training."""
