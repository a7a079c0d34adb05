package postgres

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// mark is the number of transactions of a journal that the database has acknowledged. The file
// may lag after a crash, since nothing waits for the disk; it then has a lower number.
type mark struct {
	file  string // empty: only in memory
	saved time.Time
	noted
}

type noted struct {
	Journal string `json:"journal"`
	Writes  int64  `json:"writes"`
}

// saveEvery is the interval between writes of the file.
const saveEvery = time.Second

func newMark(file string) *mark {
	m := &mark{file: file}
	if file == "" {
		return m
	}
	// Without the file, or with an incomplete one, nothing is known.
	if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &m.noted) != nil {
		m.noted = noted{}
	}
	return m
}

func (m *mark) get(journal string) int64 {
	if m.Journal != journal {
		return 0
	}
	return m.Writes
}

func (m *mark) set(journal string, writes int64) {
	m.noted = noted{journal, writes}
	if time.Since(m.saved) >= saveEvery {
		m.save()
	}
}

// save writes the file. If it fails, the stored number stays lower than it could be.
func (m *mark) save() {
	if m.file == "" || m.Journal == "" {
		return
	}
	m.saved = time.Now()
	text, err := json.Marshal(m.noted)
	if err != nil {
		return
	}
	next := m.file + ".new"
	if os.MkdirAll(filepath.Dir(m.file), 0o700) == nil && os.WriteFile(next, text, 0o600) == nil {
		_ = os.Rename(next, m.file)
	}
}
