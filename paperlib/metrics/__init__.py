"""Agreement measures: saliency maps, quality scores, and image pairs weighted by saliency. No torch in here."""
