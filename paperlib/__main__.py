"""`python -m paperlib`."""

import signal

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # before `main` takes over, and behind it, Ctrl-C ends without a word

    from paperlib.cli import main

    raise SystemExit(main())
