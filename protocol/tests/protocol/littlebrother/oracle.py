"""What Python's own expressions make of patterns: reads cases from standard input, writes verdicts.

A case is {"text", "anywhere", "names"}; anywhere: each line stands for .*line.* whatever the text holds. A verdict
is "empty", "refused", or for each name whether it matches.
"""

import json
import re
import sys
import warnings

# Flags in the middle were refused from Python 3.11 on; before, they worked with a warning.
warnings.simplefilter("error", DeprecationWarning)
warnings.simplefilter("ignore", FutureWarning)


def verdict(case):
    """Of one case."""
    lines = [line.strip() for line in case["text"].replace("\r", "").split("\n")]
    lines = [line for line in lines if len(line) > 1]
    if not lines:
        return "empty"
    if case["anywhere"] or "/" not in case["text"]:
        lines = [f"(.*{line}.*)" for line in lines]
    try:
        expression = re.compile("|".join(lines))
    except (re.error, OverflowError, DeprecationWarning):
        return "refused"
    return [expression.match(name) is not None for name in case["names"]]


json.dump([verdict(case) for case in json.load(sys.stdin)], sys.stdout)
