//go:build !unix

package file

import (
	"errors"
	"os"
)

func lockFile(*os.File) error {
	return errors.New("files cannot be locked on this system")
}

// noFollow: there is no such flag here.
const noFollow = 0
