"""`python -m tests.benchmarks` in the repository's folder: all rows as JSON."""

import json

from . import run_all

print(json.dumps(run_all(), indent=1))
