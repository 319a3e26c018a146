"""Record golden numbers; see the package."""

import sys

from tests.golden import record

if problems := record():
    sys.exit("\n".join(problems))
