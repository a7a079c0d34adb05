package keyname

// Nearest returns the known name most similar to a misspelt one, or "" if none is similar.
func Nearest(name string, known []string) string {
	best, least := "", max(1, min(len(name)/3, 3))+1
	if len(name) > 64 {
		return ""
	}
	for _, k := range known {
		if n := Distance(name, k); n < least {
			best, least = k, n
		}
	}
	return best
}

// Distance returns the number of letters to insert, delete, replace or swap.
func Distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	next := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
