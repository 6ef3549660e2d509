"""`python -m wanvideo.worker IN OUT`: what a server starts; the numbers are those of two pipes that it inherits."""

import logging
import os
import sys

if __name__ == "__main__":
    from wanvideo.runtime.process import before_torch

    before_torch()
    from wanvideo.worker.child import serve

    code = serve(os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb"))
    logging.shutdown()
    # At once: a thread still listens, and what a GPU that failed would do while Python cleans up, nobody knows.
    os._exit(code)
