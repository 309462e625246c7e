"""`python -m ekslab`."""

import sys

from ekslab.cli import main

sys.exit(main())
