"""Check an export of a custody ledger with Python 3.11 or later alone. Not checked: the rules of custody; witnesses; what stamps, their certificates
and consistency proofs say; a zip's gaps, headers and file kinds; README.txt; Payload-Oxum. Run: python3 -I verify.py BUNDLE [KEY], the zip or its
directory, and the ledger's key, which you have from elsewhere. Prints findings, then verified (exit 0), failed (1), incomplete (3); else this (2)."""
import hashlib, io, json, os, pathlib, re, struct, sys, zipfile; from base64 import b64decode, b64encode
if sys.version_info < (3, 11) or len(sys.argv) not in (2, 3) or not os.path.exists(sys.argv[1]): sys.exit(print(__doc__) or 2)
known, declared, newer, keys, signers, sealed, where = {"data/README.txt", "data/verify.py"}, set(), set(), {}, {}, {}, sys.argv[1]
found, unchecked = [], ["whose key this is: not checked, none was given"] * (len(sys.argv) < 3)
kinds = {"case.exported": "seal", "payload.erased": "erase", "checkpoint.anchored": "anchor", "person.enrolled": "keys", "person.revoked": "keys"}
def need(holds, where, problem): found.extend([] if holds else [ascii(f"{where}: {problem}")[1:-1]])
def read(name): return known.add(name) or opened(files[name]).read(1 << 28)  # what is longer would not be read to its end
def canonical(value): return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
def home(role, o): return f"data/{role.replace('log', 'logs')}/{o['exhibit']}-{o['number']}.{dict(content='bin', files='jsonl').get(role, role)}"
sys.excepthook = lambda kind, error, trace: print(*found, ascii(f"{where}: cannot be read: {error!r}")[1:-1], "failed", sep="\n")
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493; D, I = -121665 * pow(121666, -1, P) % P, pow(2, P // 4, P)
def add(p, q):  # two points of the curve of Ed25519 (RFC 8032, 5.1), of which P is the field, L the order, D the constant, I a root of -1
    a, b, c, d = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0]), 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2]
    return (b - a) * (d - c) % P, (d + c) * (b + a) % P, (d - c) * (d + c) % P, (b - a) * (b + a) % P
def point(text):  # from its one spelling: y, and whether x is odd
    y = int.from_bytes(text, "little") % 2**255; r = pow(square := (y * y - 1) * pow(D * y * y + 1, -1, P) % P, (P + 3) // 8, P)
    return next((x, y, 1, x * y % P) for x in (r, -r % P, r * I % P, -r * I % P) if x * x % P == square and x % 2 == text[31] >> 7 and y < P)
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
    return blob[:-64] == front and ed25519(wire[-32:], b"SSHSIG" + purpose + struct.pack(">I", digest.digest_size) + digest.digest(), blob[-64:])
def root_of(leaf, at, size, way):  # of the tree, from a leaf and the hashes beside its way up (RFC 6962, 2.1.1)
    if size == 1: return leaf if not way else b""
    half, (*rest, by) = 1 << (size - 1).bit_length() - 1, way
    return hashlib.sha256(b"\1" + (root_of(leaf, at, half, rest) + by if at < half else by + root_of(leaf, at - half, size - half, rest))).digest()
if os.path.isdir(where):  # 1. It has the files that its manifests list, and nothing else
    every, opened, top = [path for path in pathlib.Path(where).rglob("*") if path.is_symlink() or not path.is_dir()], io.FileIO, None
    files = {path.relative_to(where).as_posix(): path for path in every if path.is_file() and not path.is_symlink()}
else:
    packed, plain = zipfile.ZipFile(where), re.compile("[^/]+/(data/((anchors|content|files|logs|midstates|payloads|proofs)/)?)?").fullmatch
    opened, items, [top] = packed.open, packed.infolist(), {re.match(r"([A-Za-z\d][\w.-]*/)?", m.orig_filename, re.A)[0] for m in packed.infolist()}
    every = [m for m in items if not plain(m.orig_filename) or m.CRC | m.compress_size | m.file_size or m.external_attr >> 28 not in (0, 4)]
    files = {m.orig_filename.partition("/")[2]: m for m in every if m.external_attr >> 28 in (0, 8) and m.compress_type in (0, 8)}
    (large, *end), first = packed.fp.seek(-42, 2) and struct.unpack("<4s16x4s4H8xH", packed.fp.read(42)), min(m.header_offset for m in items)
    need(end in ([b"PK\5\6", 0, 0, n, n, 0] for n in (len(items), 65535 * (large == b"PK\6\7"))) and first == 0, where, "is not as it says")
sums = {n: d.hexdigest() for n, m in files.items() if (d := hashlib.file_digest(f := opened(m), "sha256")) and (not top or f.tell() == m.file_size)}
for name, part in ("manifest-sha256.txt", data := {n for n in sums if n[:5] == "data/"}), ("tagmanifest-sha256.txt", sums.keys() - data):
    need(sorted(io.BytesIO(read(name))) == sorted(f"{sums[n]}  {n}\n".encode() for n in part - {name}), name, "lists other files than there are")
where, note, own, info = "data/checkpoint", read("data/checkpoint"), read("data/ledger.vkey").decode(), read("bag-info.txt").decode().split("\n")
key, (text, _, signatures) = (sys.argv + [own[:-1]])[2], note.partition(b"\n\n")  # 2. The ledger's key signed the checkpoint
(origin, size, root), (name, mark, public) = text.decode().split("\n"), key.split("+", 2)
[sign, *_] = [s[4:] for s in (b64decode(row.split()[2]) for row in signatures.splitlines()) if s[:4].hex() == mark]
need(ed25519(b64decode(public)[1:], text + b"\n", sign) and (key + "\n", name) == (own, origin), where, "is not signed with it")
where, size, (*lines, rest), last, ids, chains = "data/entries.jsonl", int(size), read("data/entries.jsonl").split(b"\n"), (-1, "", "0" * 64), {}, {}
end, seal = json.loads(lines[-1]), json.loads(read(f"data/payloads/{size - 1}.json"))  # 3. The newest entry is this export
need((end["seq"], end["type"], rest) == (size - 1, "seal", b""), where, "ends early")
unnamed, withheld = seal["body"].get("pseudonymous"), {row["entry"] for row in seal["body"].get("withheld", [])} - {size - 1}
if unnamed: keys = {row.split()[0]: " ".join(row.split()[2:4]) for row in read("data/allowed_signers").decode().splitlines()}
erasing = [json.loads(read(f"data/payloads/{json.loads(line)['seq']}.json"))["body"] for line in lines if b'"type":"erase"' in line]
erased, case = {(body.get("entry"), body.get("leaf")): body.get("residue") for body in erasing}, info[0][21:]
for line in lines:  # 4. Every entry follows those before it, stands in the checkpoint, and is signed by its actor
    e, leaf, (before, time, prev) = json.loads(line), hashlib.sha256(b"\0" + line).digest(), last
    seq, where, path, (cseq, cprev) = e["seq"], f"entry {e['seq']}", f"data/payloads/{e['seq']}.json", chains.get(e["case"], (0, "0" * 64))
    last, chains[e["case"]], proof = (seq, e["time"], leaf.hex()), (cseq + 1, leaf.hex()), read(f"data/proofs/{seq}.tlog-proof")
    need(before < seq and time <= e["time"] and (e["prev"] == prev or before + 1 < seq), where, "is out of order")
    blob, way = b64decode(b"".join(read(path + ".sig").split(b"\n")[1:-2])), list(map(b64decode, proof.partition(b"\n\n")[0].split(b"\n")[3:]))
    must = [b"c2sp.org/tlog-proof@v1", b"extra " + b64encode(line), b"index %d" % seq, *map(b64encode, way), b"", note]
    need(proof == b"\n".join(must) and root_of(leaf, seq, size, way) == b64decode(root), where, "is not in the checkpoint")
    gone = e["type"] in (seq in withheld and ("event", "seal") or unnamed and ("keys",) or ()) or path not in sums and (seq, leaf.hex()) in erased
    event = erased.get((seq, leaf.hex())) if gone else json.loads(payload := read(path))
    late = event and (event["v"] > 1 or event["action"] not in kinds and e["type"] != "event")
    must = dict(e, cprev=cprev, cseq=cseq, log=origin, payload=sums.get(path, e["payload"]), sig=sums[path + ".sig"], v=1)
    if event: must.update(case=event["case"], type=e["type"] if late else kinds.get(event["action"], "event"))
    need(canonical(must) == line and len(e) == 11 and e["case"] in ("0" * 32, seal["case"]), where, "is not what it must be")
    body, case = event["body"] if event and not late else {}, (event or seal)["body"].get("reference", case)
    for o in body.get("objects") or declared.add(body.get("intake")) or []:  # what repeats a declaration is withheld with it
        if not withheld or o["role"] not in ("log", "files") or body["intake"] in declared: sealed[home(o["role"], body)] = o["sha256"]
    who = [keys.get(event["actor"]) if keys else body["key"]] if event else [] if unnamed else keys.values()  # at first, of the service
    good = [key for key in who if key and blob.startswith(b64decode(key.split()[1]), 14) and (gone or signed(key, payload, blob))]
    need(good or gone and unnamed and not any(who) or "keys" in newer, where, "is not signed with a key that was its actor's then")
    if gone: print(f"{where}: its payload is withheld or erased"); continue
    need(canonical(event) == payload and event["v"] > 0 and (event["log"], ids.setdefault(event["id"], seq)) == (origin, seq), where, "is no event")
    if late: newer.add(e["type"]) or unchecked.append(f"{where}: what it says: not checked, a newer custodyd made it")
    if body and e["type"] == "keys": keys[body["principal"]] = body.get("key", "")  # none: revoked
    signers |= {event["actor"]: keys.get(event["actor"])} if unnamed else {body["principal"]: body["key"]} if "key" in body else {}
    if "chain" in body: need([*body["chain"].values(), *body["system"].values()] == [cseq, cprev, *chains["0" * 32]], where, "ends elsewhere")
wanted = {p: sealed[p] for p in sealed if "/content/" not in p or p in [home("content", copy) for copy in seal["body"].get("contents", [])]}
need(wanted == {n: sums[n] for n in sums if re.match("data/(content|files|logs|midstates)/", n)}, "the copies", "are not those that were sealed")
follow = {"bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", "data/checkpoint.body": text + b"\n", "data/checkpoint.sig": sign,
    "data/ledger.pem": b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % b64encode(b"0*0\5\6\3+ep\3!\0" + b64decode(public)[1:]),
    "data/allowed_signers": "".join(f'{p} namespaces="custody-event" {key}\n' for p, key in signers.items()).encode(),
    "bag-info.txt": f"External-Identifier: {case}\nInternal-Sender-Identifier: {origin}\nBagging-Date: {end['time'][:10]}\n{info[3]}\n".encode()}
for name in follow: need(read(name) == follow[name] or "keys" in newer and name == "data/allowed_signers", name, "does not follow from the rest")
stamps = {n for n in sums if re.fullmatch(r"data/anchors/[1-9]\d*(\.checkpoint|\.consistency|-[a-z\d-]{1,40}\.(tsr|pem|crl\.pem))", n, re.A)}
must = known | wanted.keys() | stamps | {re.sub("[.-].*", of, n) for n in stamps for of in (".checkpoint", ".consistency")}
need(sums.keys() | {"data/verify.py"} == must and len(every) == len(sums) and top in (None, case + "/"), "the bundle", "has other files, or name")
sys.exit(print(*found, *unchecked, "failed" if found else "incomplete" if unchecked else "verified", sep="\n") or bool(found) or 3 * bool(unchecked))
