package config

import (
	"fmt"

	"auditrelay/internal/keyname"
)

// hint names the nearest of the known names, where one is near, and otherwise
// them all, where they are few.
func hint(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf(": did you mean %s?", near)
	}
	return ""
}

func nearest(name string, known []string) string { return keyname.Nearest(name, known) }
