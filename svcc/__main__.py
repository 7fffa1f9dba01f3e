"""``python -m svcc``."""

import sys

from svcc.cli import main

sys.exit(main())
