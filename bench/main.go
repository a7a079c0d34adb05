package main

import (
	"fmt"
	"os"
)

func main() {
	for range 3 {
		for name, fn := range map[string]func(string, [][]byte) (float64, error){"floor": floorAccept, "submit": submitAccept} {
			dir, _ := os.MkdirTemp(".", "run")
			rate, err := fn(dir, events(1, 100_000))
			fmt.Println(name, int(rate), err)
			os.RemoveAll(dir)
		}
	}
}
