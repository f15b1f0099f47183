"""`python -m tests.lab.fixing.cases BACKEND [WORD]`."""

import json
import sys

from tests.lab.fixing.cases import main

print(json.dumps(main(*sys.argv[1:])))
