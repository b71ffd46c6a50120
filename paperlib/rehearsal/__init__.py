"""What the rehearsal runs on: stand-in data sets and random weights, in the official layouts and file formats."""
