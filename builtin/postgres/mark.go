package postgres

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"
)

// mark is how many transactions of a journal the database has acknowledged. Kept in a
// file it is a lower bound after a crash: nothing waits for the disk.
type mark struct {
	file  string // empty: in memory alone
	saved time.Time
	noted
}

type noted struct {
	Journal string `json:"journal"`
	Writes  int64  `json:"writes"`
}

// saveEvery is how often the file is written.
const saveEvery = time.Second

func newMark(file string) *mark {
	m := &mark{file: file}
	if file == "" {
		return m
	}
	// Without the file, or with half of one, nothing is known.
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

// save writes the file. Where it cannot, the bound stays lower than it could be.
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
