#!/bin/sh
# Rebuilds every guest under testdata/wasm from its source. Needs Go; clang and
# lld for the C guests; wat2wasm (wabt) for the hostile modules. What a machine
# lacks is left as it is committed, and said.
set -eu
cd "$(dirname "$0")/.."
out=testdata/wasm
pack=$(mktemp -d)
trap 'rm -rf "$pack"' EXIT
go build -o "$pack/auditrelay" ./cmd/auditrelay

for dir in guests/examples/*-go; do
    name=$(basename "$dir")
    mkdir -p "$out/$name"
    GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -trimpath -o "$out/$name/$name.wasm" "./$dir"
    "$pack/auditrelay" guest pack "$out/$name/$name.wasm" "$dir/manifest.json"
done

if command -v clang >/dev/null && command -v wasm-ld >/dev/null; then
    for dir in guests/examples/*-c "$out/script"; do
        name=$(basename "$dir")
        source=$dir/main.c
        [ -f "$source" ] || source=$dir/$name.c
        mkdir -p "$out/$name"
        features=
        case $name in simd-*) features="-msimd128 -mbulk-memory" ;; esac
        # shellcheck disable=SC2086 # several flags
        clang --target=wasm32 $features -ffreestanding -O2 -Wall -Wextra -nostdlib -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=16384 \
            -I guests/sdk/c -o "$out/$name/$name.wasm" "$source"
        "$pack/auditrelay" guest pack "$out/$name/$name.wasm" "$dir/manifest.json"
    done
else
    echo "build.sh: no clang with wasm-ld: the C guests stay as committed" >&2
fi

if command -v wat2wasm >/dev/null; then
    for wat in "$out"/hostile/*.wat "$out"/isolation/*.wat "$out"/switch/*.wat guests/conformance/modules/*.wat; do
        wasm=${wat%.wat}.wasm
        wat2wasm -o "$wasm" "$wat"
        # A first line ";; manifest {...}" is the module's manifest.
        if sed -n '1s/^;; manifest //p' "$wat" | grep . >"$pack/manifest.json"; then
            "$pack/auditrelay" guest pack "$wasm" "$pack/manifest.json"
        fi
    done
else
    echo "build.sh: no wat2wasm: the hostile modules stay as committed" >&2
fi
