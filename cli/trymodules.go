package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// moduleFlags name modules for a trial. They replace the modules of the configuration or, for
// filters of uploaded modules, of the journal.
type moduleFlags struct {
	remote
	Module  []string `help:"Give a filter this module in place of its own: a new one, or one for a filter of uploaded modules. Repeatable." placeholder:"FILTER=FILE" sep:"none"`
	Running bool     `help:"Take uploaded modules from the running relay: those in use (role admin)."`
}

// modules returns the files by filter. clean removes the downloaded ones.
func (c *moduleFlags) modules(a *program) (files map[string]string, clean func(), err error) {
	files, clean = map[string]string{}, func() {}
	for _, given := range c.Module {
		filter, file, ok := strings.Cut(given, "=")
		if !ok || filter == "" || file == "" || files[filter] != "" {
			return nil, nil, usage("--module %s: expected FILTER=FILE, each filter once", given)
		}
		files[filter] = file
	}
	if !c.Running {
		return files, clean, nil
	}
	dir, err := os.MkdirTemp("", "auditrelay-modules-")
	if err != nil {
		return nil, nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	if err := c.fetch(a, dir, files); err != nil {
		clean()
		return nil, nil, err
	}
	return files, clean, nil
}

// fetch writes the uploaded modules in use by the relay to dir, except for filters that have a
// file.
func (c *moduleFlags) fetch(a *program, dir string, files map[string]string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	filters, err := cl.Filters(a.ctx)
	if err != nil {
		return err
	}
	for i := range filters {
		f := &filters[i]
		if f.Source != "uploaded" || files[f.Name] != "" {
			continue
		}
		code, err := cl.ModuleContent(a.ctx, f.SHA256)
		if err != nil {
			return fmt.Errorf("filter %s: %w", f.Name, err)
		}
		file := filepath.Join(dir, fmt.Sprintf("%d.wasm", i))
		if err := os.WriteFile(file, code, 0o600); err != nil {
			return err
		}
		files[f.Name] = file
	}
	return nil
}
