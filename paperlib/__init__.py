"""Runnable companion to "Bridging the Gap Between Saliency Prediction and Image Quality Assessment" (arXiv 2405.04997)."""

__version__ = "0.1.0"
