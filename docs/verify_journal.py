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
    before, first = head, seq + 1
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
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path}: cannot be read at event {seq + 1}: {error}")
    seal = Path(f"{path}.seal")
    if chosen.key and seal.exists():
        file = hashlib.sha256(path.read_bytes()).hexdigest()
        text = f"{first}\n{seq}\n{before.hex()}\n{head.hex()}\n{file}"
        code = hmac.new(chosen.key.read_bytes().strip(), text.encode(), "sha256").hexdigest()
        if not hmac.compare_digest(code, str(json.loads(seal.read_bytes())["hmac"])):
            sys.exit(f"{path}: its seal was not made with this key for these events")
    print(f"{path}: events {first} to {seq}{', sealed with the key' if chosen.key and seal.exists() else ''}")
print(f"sound; head {seq}:{head.hex()}")
