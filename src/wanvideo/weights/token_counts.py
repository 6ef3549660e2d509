"""The process that counts tokens for a server, which itself has no tokenizer.

    python -m wanvideo.weights.token_counts TOKENIZER

Each line of stdin is a prompt as JSON; each line of stdout says how many tokens it has, and how many are used.
"""

import json
import sys
from pathlib import Path

from wanvideo.weights.tokenizer import PromptTokenizer


def main(path: str) -> int:
    tokenizer = PromptTokenizer.from_path(Path(path))
    for line in sys.stdin:
        answer = {"tokens": tokenizer.count(json.loads(line)), "limit": tokenizer.text_tokens}
        print(json.dumps(answer), flush=True)  # noqa: T201 - this is how it answers
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
