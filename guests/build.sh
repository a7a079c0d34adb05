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

# The examples in four languages: one manifest for each kind.
mkdir -p "$out/examples"
built() { "$pack/auditrelay" guest pack "$out/examples/$1-$2.wasm" "guests/examples/$1/manifest.json"; }
rustc=rustc
[ -x /usr/bin/rustc ] && rustc=/usr/bin/rustc # Debian's, beside which its WebAssembly target is
for dir in guests/examples/*/go; do
    kind=$(basename "$(dirname "$dir")")
    example=$out/examples/$kind
    GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -trimpath -o "$example-go.wasm" "./$dir"
    built "$kind" go
    if command -v clang >/dev/null && command -v wasm-ld >/dev/null; then
        clang --target=wasm32 -msimd128 -mbulk-memory -ffreestanding -O2 -Wall -Wextra -nostdlib -Wl,--no-entry -Wl,--strip-all \
            -Wl,-z,stack-size=16384 -I guests/sdk/c -o "$example-c.wasm" "guests/examples/$kind/c/main.c"
        built "$kind" c
    fi
    if "$rustc" --print target-libdir --target wasm32-unknown-unknown 2>/dev/null | xargs ls >/dev/null 2>&1; then
        "$rustc" --edition 2021 --target wasm32-unknown-unknown --crate-type cdylib --crate-name guest -C opt-level=3 -C panic=abort \
            -C target-feature=+simd128 -C link-arg=-zstack-size=65536 -C strip=symbols -o "$example-rust.wasm" "guests/examples/$kind/rust/main.rs"
        built "$kind" rust
    else
        echo "build.sh: no rustc with the target wasm32-unknown-unknown: $kind in Rust stays as committed" >&2
    fi
    if [ -n "${ASC:-}" ]; then
        $ASC "guests/examples/$kind/assemblyscript/main.ts" -o "$example-assemblyscript.wasm" -O3 --runtime minimal --enable simd \
            --use abort=guests/sdk/assemblyscript/auditrelay/abort
        built "$kind" assemblyscript
    else
        echo "build.sh: ASC is not set (npx asc): $kind in AssemblyScript stays as committed" >&2
    fi
done

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
