package meter

// SetCustom returns a module with content as its only custom section of this name, at the end.
// It validates the module as Inspect does.
func SetCustom(wasm []byte, name string, content []byte) ([]byte, error) {
	if _, err := decodeWith(wasm, Options{}); err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(wasm)+len(name)+len(content)+16), wasm[:8]...)
	for r := (&reader{module: wasm, at: 8, end: len(wasm)}); r.left() > 0; {
		at := r.at
		id := r.byte()
		size := int(r.u32())
		section := &reader{module: wasm, at: r.at, end: r.at + size}
		r.at = section.end
		if id != sectionCustom || section.name(len(wasm)) != name {
			out = append(out, wasm[at:r.at]...)
		}
	}
	section := append(appendName(nil, name), content...)
	out = appendUnsigned(append(out, sectionCustom), uint64(len(section)))
	return append(out, section...), nil
}
