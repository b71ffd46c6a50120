"""`python -m paperlib`."""

from paperlib.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
