"""A second implementation of the verifier, from docs/reference/proofs.md alone.

usage: verify.py FOLDER PUBLIC_KEY [KEY_PREFIX]

FOLDER is a copy of a bucket's prefix; KEY_PREFIX is what its object keys have before it.
Python's standard library only. It prints one line a log, and exits 1 at the first fault.
"""
import base64, gzip, hashlib, io, os, sys, tarfile

def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()

# Ed25519, as in RFC 8032, section 6 (verification needs no constant time).
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)

def recover(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P: x = x * I % P
    if (x * x - x2) % P or y >= P: raise ValueError("no point")
    return P - x if x & 1 != sign else x

def decode(b):
    n = int.from_bytes(b, "little")
    y, sign = n & (2**255 - 1), n >> 255
    x = recover(y, sign)
    return (x, y, 1, x * y % P)

def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)

def mul(s, p):
    q = (0, 1, 1, 0)
    while s:
        if s & 1: q = add(q, p)
        p, s = add(p, p), s >> 1
    return q

BY = 4 * pow(5, P - 2, P) % P
BASE = (recover(BY, 0), BY, 1, recover(BY, 0) * BY % P)

def verifies(public, message, signature):
    a, r, s = decode(public), decode(signature[:32]), int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = mul(s, BASE), add(r, mul(h, a))
    return s < L and (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0

# c2sp.org/signed-note and c2sp.org/tlog-checkpoint
def checkpoint(note, key):
    name, _, encoded = key.split("+", 2)
    raw = base64.b64decode(encoded)
    keyhash = sha(name.encode(), b"\n", raw)[:4]
    text, signatures = note.decode().rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        mark, who, sig = line.split(" ")
        sig = base64.b64decode(sig)
        if mark == "\u2014" and who == name and sig[:4] == keyhash and verifies(raw[1:], text.encode(), sig[4:]):
            origin, size, root = text.splitlines()
            return origin, int(size), base64.b64decode(root)
    fail("a checkpoint is not signed by this key")

def fail(why):
    print("FAILED:", why)
    sys.exit(1)

def tree(leaves):  # RFC 6962, 2.1
    if len(leaves) == 1: return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1", tree(leaves[:k]), tree(leaves[k:]))

def split(bundle):
    out = []
    while bundle:
        n = int.from_bytes(bundle[:2], "big")
        out.append(bundle[2:2 + n])
        bundle = bundle[2 + n:]
    return out

def index(path):
    n = 0
    for part in path.split(".p/")[0].split("/"): n = n * 1000 + int(part.lstrip("x"))
    return n

def main(folder, key, prefix=""):
    names = [os.path.relpath(os.path.join(d, f), folder) for d, _, fs in os.walk(folder) for f in fs]
    logs = {}
    for name in names:
        if "_proofs/" not in name: continue
        files = {m.name: t.extractfile(m).read() for t in [tarfile.open(os.path.join(folder, name))] for m in t}
        origin, size, root = checkpoint(files["checkpoint"], key)
        logs.setdefault(origin, []).append((size, root, files))
    stated, before = {}, {}
    for origin, bundles in sorted(logs.items()):
        entries = {}
        for size, root, files in sorted(bundles, key=lambda b: b[0]):
            for path, data in files.items():
                if path.startswith("tile/entries/"):
                    first = index(path[len("tile/entries/"):]) * 256
                    entries.update({first + i: e for i, e in enumerate(split(data)) if e or first + i not in entries})  # empty: erased since
            if tree([sha(b"\0", entries[i]) for i in range(size)]) != root: fail(f"{origin}: another root at {size}")
        last, records, floor, first, queue = {}, 0, 0, 0, []
        for i in range(max(b[0] for b in bundles)):
            e = entries[i]
            if e[0] == 1: first, before[origin] = int.from_bytes(e[1:9], "big"), e[51:].decode()
            if e[0] == 6: floor = int.from_bytes(e[9:17], "big")
            if e[0] == 5: last.update({s: e[1] for s in range(int.from_bytes(e[2:10], "big"), int.from_bytes(e[10:18], "big"))})
            if e[0] == 4:
                sequence = int.from_bytes(e[3:11], "big")
                if e[1]: last[sequence] = e[1]
                if queue and e[43:75] != bytes(32):
                    line = queue.pop(0)
                    records += 1
                    if sha(line) != e[43:75]: fail(f"{origin}: sequence {sequence} is not what was delivered")
            if e[0] == 3:
                path = e[48:].decode()
                if not path.startswith(prefix): fail(f"the key {path}")
                queue, file = [], os.path.join(folder, path[len(prefix):])
                if e[1] & 4 and not os.path.exists(file): continue  # it may have arrived, and did not
                data = open(file, "rb").read()
                if sha(data) != e[14:46]: fail(f"{path} is not what was delivered")
                if data[:2] == b"\x1f\x8b": data = gzip.decompress(data)
                queue = data.splitlines() if int.from_bytes(e[10:14], "big") else []
        stated[origin] = last, first, floor
        print(f"{origin}: {len(bundles)} checkpoints, {records} records, complete from {first} to {floor - 1}")
    for origin, (last, first, floor) in stated.items():
        gaps, earlier = [s for s in range(first, floor) if s not in last], before[origin]
        while gaps and earlier in stated:  # the logs of a restored journal's earlier lives
            gaps, earlier = [s for s in gaps if s not in stated[earlier][0]], before[earlier]
        if gaps and not earlier: fail(f"{origin}: nothing is stated of {gaps[0]}")

main(*sys.argv[1:])
