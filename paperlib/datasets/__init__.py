"""Data sets behind one face: records with images, density maps, fixations and mean opinion scores."""
