"""Check an export of a custody ledger with Python 3.11 or later alone, but for the rules of custody, witnesses and stamps:
python3 -I verify.py BUNDLE [KEY], the zip or its directory, and the ledger's key, one line, which you have from elsewhere.
Prints findings, then verified (exit 0), failed (1) or incomplete (3). In doubt, take this file from the public source."""
import hashlib, json, pathlib, struct, sys, zipfile
from base64 import b64decode, b64encode
found, keys, sealed, chains, ids, known, last = [], {}, {}, {}, set(), set(), (-1, "", "0" * 64)
kinds = {"case.exported": "seal", "payload.erased": "erase", "checkpoint.anchored": "anchor", "person.enrolled": "keys", "person.revoked": "keys"}
def need(holds, where, problem): found.extend([] if holds else [ascii(f"{where}: {problem}")[1:-1]])
def read(path): return known.add(path) or (bundle / path).read_bytes()
def canonical(value): return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
def stop(kind, error, trace): print(*found, ascii(f"{where}: cannot be read: {error!r}")[1:-1], "failed", sep="\n")
def walk(folder): return [file for item in folder.iterdir() for file in (walk(item) if item.is_dir() else [item])]
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # Ed25519 (RFC 8032, 5.1): the field, the order
D, I = -121665 * pow(121666, -1, P) % P, pow(2, P // 4, P)  # the constant of the curve, a root of -1
def add(p, q):  # two points of the curve
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    return (b - a) * (d - c) % P, (d + c) * (b + a) % P, (d - c) * (d + c) % P, (b - a) * (b + a) % P
def point(text):  # from its one spelling: y, and whether x is odd
    y, odd = int.from_bytes(text, "little") % 2**255, text[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    r = pow(square, (P + 3) // 8, P)
    return next((x, y, 1, x * y % P) for x in (r, -r % P, r * I % P, -r * I % P) if x * x % P == square and x % 2 == odd and y < P)
def ed25519(key, message, signature):  # whether R = s * B - k * A, where B is the base point and A the key
    (x, y, _, t), base, total = point(key), point(b"\x58" + b"\x66" * 31), (0, 1, 1, 0)
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    s, minus = int.from_bytes(signature[32:], "little"), (P - x, y, 1, P - t)
    steps = {(0, 0): total, (1, 0): base, (0, 1): minus, (1, 1): add(base, minus)}
    for bit in range(252, -1, -1): total = add(add(total, total), steps[s >> bit & 1, k >> bit & 1])
    x, y = (value * pow(total[2], -1, P) % P for value in total[:2])
    return s < L and signature[:32] == (y + (x % 2 << 255)).to_bytes(32, "little")
def signed(key, payload, armoured):  # with an Ed25519 key of SSH (OpenSSH, PROTOCOL.sshsig), and for this purpose
    if key[:12] != "ssh-ed25519 ": return not unchecked.append(f"{where}: its signature: not checked, ssh-keygen can")
    wire, blob = b64decode(key.split()[1]), b64decode(b"".join(armoured.split(b"\n")[1:-2]))
    digest = hashlib.sha512(payload) if b"sha512" in blob else hashlib.sha256(payload)
    purpose = b"\0\0\0\rcustody-event\0\0\0\0\0\0\0\6" + digest.name.encode()
    front = b"SSHSIG\0\0\0\1\0\0\0\x33" + wire + purpose + b"\0\0\0\x53\0\0\0\x0bssh-ed25519\0\0\0\x40"
    message = b"SSHSIG" + purpose + struct.pack(">I", digest.digest_size) + digest.digest()
    return blob[:-64] == front and ed25519(wire[-32:], message, blob[-64:])
def root_of(leaf, at, size, way):  # of the tree, from a leaf and the hashes beside its way up (RFC 6962, 2.1.1)
    if size == 1: return leaf if not way else b""
    half, rest = 1 << (size - 1).bit_length() - 1, way[:-1]
    if at < half: return hashlib.sha256(b"\1" + root_of(leaf, at, half, rest) + way[-1]).digest()
    return hashlib.sha256(b"\1" + way[-1] + root_of(leaf, at - half, size - half, rest)).digest()
if not 2 <= len(sys.argv) <= 3: sys.exit(print(__doc__) or 2)
where, sys.excepthook, unchecked = sys.argv[1], stop, ["whose key this is: not checked, none was given"] * (len(sys.argv) < 3)
[bundle] = [pathlib.Path(where)] if pathlib.Path(where).is_dir() else zipfile.Path(where).iterdir()
files = {str(file)[len(str(bundle)):].strip("/"): file for file in walk(bundle)}  # 1. Every file is listed, no other is
sums = {name: hashlib.file_digest(file.open("rb"), "sha256").hexdigest() for name, file in files.items()}
rows = sorted((read("manifest-sha256.txt") + read("tagmanifest-sha256.txt")).decode().splitlines()), len(walk(bundle))
here = sorted(f"{sums[name]}  {name}" for name in sums if name != "tagmanifest-sha256.txt"), len(sums)
need(rows == here, where, "holds other files than its manifests list, or one twice")
where, note, own = "data/checkpoint", read("data/checkpoint"), read("data/ledger.vkey").decode().removesuffix("\n")
key, (text, _, signatures) = (sys.argv + [own])[2], note.partition(b"\n\n")  # 2. The ledger's key signed the checkpoint
(origin, size, root), (name, mark, public) = text.decode().split("\n"), key.split("+", 2)
ours = [s[4:] for s in (b64decode(row.split()[2]) for row in signatures.splitlines()) if s[:4].hex() == mark]
need(ed25519(b64decode(public)[1:], text + b"\n", ours[0]) and (key, name) == (own, origin), where, "is not signed with it")
where, size, (*lines, rest) = "data/entries.jsonl", int(size), read("data/entries.jsonl").split(b"\n")
seal = json.loads(read(f"data/payloads/{size - 1}.json"))  # 3. The checkpoint ends with the export, the newest entry
need(json.loads(lines[-1])["seq"] == size - 1 and seal["action"] == "case.exported" and not rest, where, "ends early")
unnamed, withheld = seal["body"].get("pseudonymous"), {row["entry"] for row in seal["body"].get("withheld", [])}
if unnamed: keys = {row.split()[0]: row.split(" ", 2)[2] for row in read("data/allowed_signers").decode().splitlines()}
erasing = [json.loads(line)["seq"] for line in lines if b'"type":"erase"' in line]
erased = {b["leaf"]: b["residue"] for b in (json.loads(read(f"data/payloads/{seq}.json"))["body"] for seq in erasing)}
for line in lines:  # 4. Every entry follows those before it, stands in the checkpoint, and is signed by its actor
    e, leaf, (before, time, prev) = json.loads(line), hashlib.sha256(b"\0" + line).digest(), last
    seq, where, (cseq, cprev) = e["seq"], f"entry {e['seq']}", chains.get(e["case"], (0, "0" * 64))
    last, chains[e["case"]] = (seq, e["time"], leaf.hex()), (cseq + 1, leaf.hex())
    print(where, "of", size, end="\r", file=sys.stderr)
    need(before < seq and time <= e["time"] and (e["prev"] == prev or before + 1 < seq), where, "is out of order")
    path = f"data/payloads/{seq}.json"
    proof, armoured = read(f"data/proofs/{seq}.tlog-proof"), read(path + ".sig")
    way = [b64decode(hash) for hash in proof.partition(b"\n\n")[0].split(b"\n")[3:]]
    must = [b"c2sp.org/tlog-proof@v1", b"extra " + b64encode(line), b"index %d" % seq, *map(b64encode, way), b"", note]
    need(proof == b"\n".join(must) and root_of(leaf, seq, size, way) == b64decode(root), where, "is not in the checkpoint")
    gone = seq in withheld or unnamed and e["type"] == "keys" or leaf.hex() in erased and path not in sums
    event = erased.get(leaf.hex()) if gone else json.loads(payload := read(path))
    must = dict(e, cprev=cprev, cseq=cseq, log=origin, payload=sums.get(path, e["payload"]), sig=sums[path + ".sig"], v=1)
    if event: must.update(case=event["case"], type=kinds.get(event["action"], "event"))
    need(canonical(must) == line and len(e) == 11 and e["case"] in ("0" * 32, seal["case"]), where, "is not what it must be")
    body = event["body"] if event else {}
    for o in body.get("objects", []): sealed[f"{o['role'][:3]} {body['exhibit']}-{body['number']}"] = o["sha256"]
    if gone: print(f"{where}: its payload is withheld or erased"); continue
    need(canonical(event) == payload and event["log"] == origin and event["id"] not in ids and event["v"] > 0, where, "has a payload of no use")
    unchecked += [f"{where}: its payload: not checked, it is of a newer version"] * (event["v"] > 1)
    key = keys.get(event["actor"]) if keys else body["key"]  # the first entry brings the service's own
    need(key and signed(key, payload, armoured), where, "is not signed with a key that was its actor's then")
    if e["type"] == "keys": keys[body["principal"]] = body.get("key", "")  # none: revoked
    if e["type"] == "seal": need([*body["chain"].values(), *body["system"].values()] == [cseq, cprev, *chains["0" * 32]], where, "ends elsewhere")
    ids.add(event["id"])
kept = {f"{n[5:8]} {n.split('/')[2].rpartition('.')[0]}": n for n in sums if n[5:8] in ("con", "fil", "log", "mid")}
promised = {f"con {copy['exhibit']}-{copy['number']}" for copy in seal["body"].get("contents", [])}
wanted = {name for name in sealed if name[:3] != "con" or name in promised}  # 5. What lies there of copies was sealed
need(all(sealed.get(name) == sums[path] for name, path in kept.items()), "the copies", "are not what was sealed")
need(kept.keys() == wanted or withheld and wanted > kept.keys(), "the copies", "are more or fewer than were sealed")
others = [n for n in sums.keys() - known - set(kept.values()) if n[:13] != "data/anchors/"]
need(len(others) == 7 - bool(unnamed) + ("data/verify.py" in sums), "the bundle", "has files that no bundle has, or lacks some")
print(*found, *unchecked, "failed" if found else "incomplete" if unchecked else "verified", sep="\n")
sys.exit(1 if found else 3 if unchecked else 0)
