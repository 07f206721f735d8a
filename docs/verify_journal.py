"""Verify exports and archives of a Helios journal, given in order: python3 verify_journal.py FILE…"""

import argparse
import gzip
import hashlib
import hmac
import json
import sys
import zlib
from pathlib import Path

options = argparse.ArgumentParser(description=__doc__)
options.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON lines, plain or .gz")
options.add_argument("--after", default="0:" + "00" * 32, metavar="SEQ:HASH", help="what the first follows")
options.add_argument("--key", type=Path, help="the file of the key that archives were sealed with")
chosen = options.parse_args()
seq, head = int(chosen.after.partition(":")[0]), bytes.fromhex(chosen.after.partition(":")[2])
for path in chosen.files:
    before, first, seal, sealed = head, seq + 1, Path(f"{path}.seal"), ""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:
            for line in lines:
                start, _, payload = line.rstrip(b"\n").partition(b',"payload":')
                event = json.loads(start + b"}")
                text = "{seq}\n{at_us}\n{kind}\n".format_map(event) + f"{event['cause'] or ''}\n"
                digest = hashlib.sha256(head + text.encode() + payload[:-1]).digest()
                if event["seq"] != seq + 1 or event["hash"] != digest.hex():
                    sys.exit(f"{path}: broken at event {seq + 1}, where event {event['seq']} stands")
                seq, head = seq + 1, digest
        if seq < first:
            sys.exit(f"{path}: holds no event")
        if chosen.key and (seal.exists() or path.match("journal-*.jsonl.gz")):
            file = hashlib.sha256(path.read_bytes()).hexdigest()
            text = f"{first}\n{seq}\n{before.hex()}\n{head.hex()}\n{file}"
            code = hmac.new(chosen.key.read_bytes().strip(), text.encode(), "sha256").hexdigest()
            found = json.loads(seal.read_bytes())["hmac"]
            if found not in (None, code):
                sys.exit(f"{path}: its seal was not made with this key for these events")
            sealed = ", sealed with the key" if found else ", sealed without a key: none vouches for it"
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path}: it or its seal cannot be read, after event {seq}: {error}")
    print(f"{path}: events {first} to {seq}{sealed}")
print(f"sound; head {seq}:{head.hex()}")
