// Package arrows tests which packages may import which.
package arrows
