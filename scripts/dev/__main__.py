import sys

from scripts.dev.commands import main

sys.exit(main(sys.argv[1:]))
