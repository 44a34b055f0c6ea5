"""`python -m playground.kube build|found`: what `make kube` and `make test` call."""

import sys

from playground.kube.programs import main

sys.exit(main(sys.argv[1:]))
