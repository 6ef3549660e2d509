"""`python -m wanvideo.worker IN OUT`: what a server starts; the numbers are those of two pipes that it inherits."""

import os
import sys

if __name__ == "__main__":
    from wanvideo.runtime.process import before_torch

    before_torch()
    from wanvideo.worker.child import serve

    with os.fdopen(int(sys.argv[1]), "rb") as orders, os.fdopen(int(sys.argv[2]), "wb") as reports:
        sys.exit(serve(orders, reports))
