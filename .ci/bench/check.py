"""The full check of a ledger in plain Python, from the format's description alone.

    check.py FILE

Every line is parsed, has to be the one canonical form of what it says, to follow
the line before it and the newest line of its case, and not to be older. Then the
root of the tree over all lines is computed (RFC 6962). Prints how long that took,
how many entries there were, and the root.
"""

import hashlib
import json
import re
import sys
import time

ZERO = "0" * 64
FORM = {
    "case": re.compile(r"[0-9a-f]{32}"),
    "cprev": re.compile(r"[0-9a-f]{64}"),
    "log": re.compile(r"[a-z0-9./_-]{1,100}"),
    "payload": re.compile(r"[0-9a-f]{64}"),
    "prev": re.compile(r"[0-9a-f]{64}"),
    "sig": re.compile(r"[0-9a-f]{64}"),
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    "type": re.compile(r"event|keys|anchor|erase|seal"),
}
NUMBERS = ("cseq", "seq", "v")
MEMBERS = sorted([*FORM, *NUMBERS])


def check(path):
    prev, newest, log = ZERO, "", None
    cases = {}  # case -> (number of entries, leaf hash of the newest)
    subtrees = []  # (size, root) of complete subtrees, largest first
    size = 0
    with open(path, "rb") as lines:
        for line in lines:
            assert line.endswith(b"\n")
            line = line[:-1]
            e = json.loads(line)
            assert json.dumps(e, sort_keys=True, separators=(",", ":")).encode("ascii") == line
            assert list(e) == MEMBERS
            assert all(form.fullmatch(e[name]) for name, form in FORM.items())
            assert all(type(e[name]) is int and 0 <= e[name] < 1 << 53 for name in NUMBERS) and e["v"] == 1
            cseq, cprev = cases.get(e["case"], (0, ZERO))
            assert (e["seq"], e["prev"]) == (size, prev)
            assert (e["cseq"], e["cprev"]) == (cseq, cprev)
            assert e["time"] >= newest and log in (None, e["log"])

            leaf = hashlib.sha256(b"\0" + line).digest()
            prev, newest, log = leaf.hex(), e["time"], e["log"]
            cases[e["case"]] = (cseq + 1, prev)
            size += 1
            node = (1, leaf)
            while subtrees and subtrees[-1][0] == node[0]:
                n, left = subtrees.pop()
                node = (2 * n, hashlib.sha256(b"\1" + left + node[1]).digest())
            subtrees.append(node)
    if not subtrees:
        return 0, hashlib.sha256(b"").hexdigest()
    root = subtrees.pop()[1]
    while subtrees:
        root = hashlib.sha256(b"\1" + subtrees.pop()[1] + root).digest()
    return size, root.hex()


start = time.monotonic()
count, root = check(sys.argv[1])
print(f"seconds {time.monotonic() - start:f}\nentries {count}\nroot {root}")
