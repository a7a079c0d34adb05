// Command pack puts a manifest into a finished module:
//
//	pack guest.wasm manifest.json
//
// The module is rewritten in place. Its code is not touched.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"auditrelay/internal/guest"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack guest.wasm manifest.json")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(module, manifest string) error {
	wasm, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(manifest)
	if err != nil {
		return err
	}
	var m guest.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%s: %w", manifest, err)
	}
	if wasm, err = guest.Pack(wasm, m); err != nil {
		return err
	}
	return os.WriteFile(module, wasm, 0o644)
}
