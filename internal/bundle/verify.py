"""Check an export of a custody ledger with Python 3.11 or later alone, but for the rules of custody, witnesses, stamps and a zip's gaps:
python3 -I verify.py BUNDLE [KEY], the zip or its directory, and the ledger's key, one line, which you have from elsewhere.
Prints findings, then verified (exit 0), failed (1) or incomplete (3); this text alone (2) if it cannot be run like that."""
import hashlib, io, json, os, pathlib, re, struct, sys, zipfile; from base64 import b64decode, b64encode
if sys.version_info < (3, 11) or len(sys.argv) not in (2, 3) or not os.path.exists(sys.argv[1]): sys.exit(print(__doc__) or 2)
known, declared, newer, keys, sealed, where = set(), set(), set(), {}, {}, sys.argv[1]
found, unchecked = [], ["whose key this is: not checked, none was given"] * (len(sys.argv) < 3)
kinds = {"case.exported": "seal", "payload.erased": "erase", "checkpoint.anchored": "anchor", "person.enrolled": "keys", "person.revoked": "keys"}
homes = {"content": "content/%s-%s.bin", "files": "files/%s-%s.jsonl", "log": "logs/%s-%s.log", "midstates": "midstates/%s-%s.midstates"}
def need(holds, where, problem): found.extend([] if holds else [ascii(f"{where}: {problem}")[1:-1]])
def read(name): return known.add(name) or opened(files[name]).read(1 << 28)  # what is longer would not be read to its end
def canonical(value): return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
def home(role, copy): return "data/" + homes[role] % (copy["exhibit"], copy["number"])
sys.excepthook = lambda kind, error, trace: print(*found, ascii(f"{where}: cannot be read: {error!r}")[1:-1], "failed", sep="\n")
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # Ed25519 (RFC 8032, 5.1): the field, the order
D, I = -121665 * pow(121666, -1, P) % P, pow(2, P // 4, P)  # the constant of the curve, a root of -1
def add(p, q):  # two points of the curve
    a, b, c, d = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0]), 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2]
    return (b - a) * (d - c) % P, (d + c) * (b + a) % P, (d - c) * (d + c) % P, (b - a) * (b + a) % P
def point(text):  # from its one spelling: y, and whether x is odd
    y, odd = int.from_bytes(text, "little") % 2**255, text[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    r = pow(square, (P + 3) // 8, P)
    return next((x, y, 1, x * y % P) for x in (r, -r % P, r * I % P, -r * I % P) if x * x % P == square and x % 2 == odd and y < P)
def ed25519(key, message, signature):  # whether R = s * B - k * A, where B is the base point and A the key
    (x, y, _, t), base, total = point(key), point(b"\x58" + b"\x66" * 31), (0, 1, 1, 0)
    k, minus = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L, (P - x, y, 1, P - t)
    s, steps = int.from_bytes(signature[32:], "little"), {(0, 0): total, (1, 0): base, (0, 1): minus, (1, 1): add(base, minus)}
    for bit in range(252, -1, -1): total = add(add(total, total), steps[s >> bit & 1, k >> bit & 1])
    x, y = (value * pow(total[2], -1, P) % P for value in total[:2])
    return s < L and signature[:32] == (y + (x % 2 << 255)).to_bytes(32, "little")
def signed(key, payload, blob):  # with a key of SSH (OpenSSH, PROTOCOL.sshsig), and for this purpose
    if key[:12] != "ssh-ed25519 ": return not unchecked.append(f"{where}: its signature: not checked, ssh-keygen -Y verify can (README.txt, 7)")
    digest = hashlib.sha512(payload) if b"sha512" in blob else hashlib.sha256(payload)
    wire, purpose = b64decode(key.split()[1]), b"\0\0\0\rcustody-event\0\0\0\0\0\0\0\6" + digest.name.encode()
    front = b"SSHSIG\0\0\0\1\0\0\0\x33" + wire + purpose + b"\0\0\0\x53\0\0\0\x0bssh-ed25519\0\0\0\x40"
    message = b"SSHSIG" + purpose + struct.pack(">I", digest.digest_size) + digest.digest()
    return blob[:-64] == front and ed25519(wire[-32:], message, blob[-64:])
def root_of(leaf, at, size, way):  # of the tree, from a leaf and the hashes beside its way up (RFC 6962, 2.1.1)
    if size == 1: return leaf if not way else b""
    half, rest = 1 << (size - 1).bit_length() - 1, way[:-1]
    if at < half: return hashlib.sha256(b"\1" + root_of(leaf, at, half, rest) + way[-1]).digest()
    return hashlib.sha256(b"\1" + way[-1] + root_of(leaf, at - half, size - half, rest)).digest()
if os.path.isdir(where):  # 1. It has the files that its manifests list, and nothing else
    every, opened = [path for path in pathlib.Path(where).rglob("*") if path.is_symlink() or not path.is_dir()], io.FileIO
    files = {path.relative_to(where).as_posix(): path for path in every if path.is_file() and not path.is_symlink()}
else:
    packed = zipfile.ZipFile(where)
    every, opened = [m for m in packed.infolist() if not m.is_dir() or m.compress_size or m.external_attr >> 28 not in (0, 4)], packed.open
    [_], files = {m.filename.split("/")[0] for m in every}, {m.filename.partition("/")[2]: m for m in every if m.external_attr >> 28 in (0, 8)}
    need(packed.fp.seek(-22, 2) and packed.fp.read(4) == b"PK\5\6" and min(m.header_offset for m in every) == 0, where, "has more before or after it")
sums = {name: hashlib.file_digest(opened(file), "sha256").hexdigest() for name, file in files.items()}
rows = sorted((read("manifest-sha256.txt") + read("tagmanifest-sha256.txt")).decode().splitlines())
need(rows == sorted(f"{sums[n]}  {n}" for n in sums if n != "tagmanifest-sha256.txt"), where, "holds other files than its manifests list")
where, note, own = "data/checkpoint", read("data/checkpoint"), read("data/ledger.vkey").decode().removesuffix("\n")
key, (text, _, signatures) = (sys.argv + [own])[2], note.partition(b"\n\n")  # 2. The ledger's key signed the checkpoint
(origin, size, root), (name, mark, public) = text.decode().split("\n"), key.split("+", 2)
ours = [s[4:] for s in (b64decode(row.split()[2]) for row in signatures.splitlines()) if s[:4].hex() == mark]
need(ed25519(b64decode(public)[1:], text + b"\n", ours[0]) and (key, name) == (own, origin), where, "is not signed with it")
where, size, (*lines, rest), last, ids, chains = "data/entries.jsonl", int(size), read("data/entries.jsonl").split(b"\n"), (-1, "", "0" * 64), {}, {}
end, seal = json.loads(lines[-1]), json.loads(read(f"data/payloads/{size - 1}.json"))  # 3. The newest entry is this export
need((end["seq"], end["type"], rest) == (size - 1, "seal", b""), where, "ends early")
unnamed, withheld = seal["body"].get("pseudonymous"), {row["entry"] for row in seal["body"].get("withheld", [])} - {size - 1}
if unnamed: keys = {row.split()[0]: row.split(" ", 2)[2] for row in read("data/allowed_signers").decode().splitlines()}
erasing = [json.loads(read(f"data/payloads/{json.loads(line)['seq']}.json"))["body"] for line in lines if b'"type":"erase"' in line]
erased = {(body.get("entry"), body.get("leaf")): body.get("residue") for body in erasing}
for line in lines:  # 4. Every entry follows those before it, stands in the checkpoint, and is signed by its actor
    e, leaf, (before, time, prev) = json.loads(line), hashlib.sha256(b"\0" + line).digest(), last
    seq, where, (cseq, cprev) = e["seq"], f"entry {e['seq']}", chains.get(e["case"], (0, "0" * 64))
    last, chains[e["case"]] = (seq, e["time"], leaf.hex()), (cseq + 1, leaf.hex())
    need(before < seq and time <= e["time"] and (e["prev"] == prev or before + 1 < seq), where, "is out of order")
    path, proof = f"data/payloads/{seq}.json", read(f"data/proofs/{seq}.tlog-proof")
    blob, way = b64decode(b"".join(read(path + ".sig").split(b"\n")[1:-2])), list(map(b64decode, proof.partition(b"\n\n")[0].split(b"\n")[3:]))
    must = [b"c2sp.org/tlog-proof@v1", b"extra " + b64encode(line), b"index %d" % seq, *map(b64encode, way), b"", note]
    need(proof == b"\n".join(must) and root_of(leaf, seq, size, way) == b64decode(root), where, "is not in the checkpoint")
    gone = e["type"] in (seq in withheld and ("event", "seal") or unnamed and ("keys",) or ()) or path not in sums and (seq, leaf.hex()) in erased
    event = erased.get((seq, leaf.hex())) if gone else json.loads(payload := read(path))
    late = event and (event["v"] > 1 or event["action"] not in kinds and e["type"] != "event")
    must = dict(e, cprev=cprev, cseq=cseq, log=origin, payload=sums.get(path, e["payload"]), sig=sums[path + ".sig"], v=1)
    if event: must.update(case=event["case"], type=e["type"] if late else kinds.get(event["action"], "event"))
    need(canonical(must) == line and len(e) == 11 and e["case"] in ("0" * 32, seal["case"]), where, "is not what it must be")
    body = event["body"] if event and not late else {}
    for o in body.get("objects") or declared.add(body.get("intake")) or []:  # what repeats a declaration is withheld with it
        if not withheld or o["role"] not in ("log", "files") or body["intake"] in declared: sealed[home(o["role"], body)] = o["sha256"]
    who = [keys.get(event["actor"]) if keys else body["key"]] if event else [] if unnamed else keys.values()  # at first, of the service
    good = [key for key in who if key and blob.startswith(b64decode(key.split()[1]), 14) and (gone or signed(key, payload, blob))]
    need(good or gone and unnamed and not any(who) or "keys" in newer, where, "is not signed with a key that was its actor's then")
    if gone: print(f"{where}: its payload is withheld or erased"); continue
    need(canonical(event) == payload and event["v"] > 0 and (event["log"], ids.setdefault(event["id"], seq)) == (origin, seq), where, "is no event")
    if late: newer.add(e["type"]) or unchecked.append(f"{where}: what it says: not checked, a newer custodyd made it")
    if body and e["type"] == "keys": keys[body["principal"]] = body.get("key", "")  # none: revoked
    if "chain" in body: need([*body["chain"].values(), *body["system"].values()] == [cseq, cprev, *chains["0" * 32]], where, "ends elsewhere")
wanted = {p: sealed[p] for p in sealed if "/content/" not in p or p in [home("content", copy) for copy in seal["body"].get("contents", [])]}
need(wanted == {n: sums[n] for n in sums if re.match("data/(content|files|logs|midstates)/", n)}, "the copies", "are not those that were sealed")
unread = "bagit.txt bag-info.txt data/README.txt data/verify.py data/checkpoint.body data/checkpoint.sig data/ledger.pem data/allowed_signers"
others = {n for n in sums if not re.fullmatch(r"data/anchors/[1-9]\d*(\.checkpoint|\.consistency|-[a-z\d-]{1,40}\.(tsr|pem|crl\.pem))", n, re.A)}
need(others - wanted.keys() | {"data/verify.py"} == known | {*unread.split()} and len(every) == len(files), "the bundle", "has links, or other files")
print(*found, *unchecked, "failed" if found else "incomplete" if unchecked else "verified", sep="\n")
sys.exit(1 if found else 3 if unchecked else 0)
