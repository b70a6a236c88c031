import signal
import sys

from scripts.dev.commands import main

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell. What we start must be able to be interrupted all the same: tests try it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
