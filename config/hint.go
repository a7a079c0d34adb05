package config

import (
	"fmt"

	"auditrelay/internal/keyname"
)

// hint suggests the nearest known name if one is near, or all known names if they are few.
func hint(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf(": did you mean %s?", near)
	}
	return ""
}

func nearest(name string, known []string) string { return keyname.Nearest(name, known) }
