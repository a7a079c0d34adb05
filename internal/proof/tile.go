package proof

import (
	"fmt"
	"strconv"
)

// TileWidth is the number of hashes or entries in a full tile.
const TileWidth = 256

// TilePath returns the path of a tile of hashes relative to its log. width is 1 to TileWidth; a
// smaller value than TileWidth means a partial tile.
func TilePath(level int, index uint64, width int) string {
	return "tile/" + strconv.Itoa(level) + "/" + tileIndex(index) + partial(width)
}

// EntriesPath returns the path of a bundle of entries.
func EntriesPath(index uint64, width int) string {
	return "tile/entries/" + tileIndex(index) + partial(width)
}

// tileIndex formats 1234067 as x001/x234/067.
func tileIndex(n uint64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/", n%1000) + s
	}
	return s
}

func partial(width int) string {
	if width == TileWidth {
		return ""
	}
	return ".p/" + strconv.Itoa(width)
}
