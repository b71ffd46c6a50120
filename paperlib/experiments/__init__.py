"""The paper's experiments: data sets, maps and trainings that sections share, and one sub-package for each section."""
