//go:build !unix

package file

import (
	"errors"
	"os"
)

func lockFile(*os.File) error {
	return errors.New("files cannot be locked on this system")
}

// noFollow is 0, since this system has no such flag.
const noFollow = 0
