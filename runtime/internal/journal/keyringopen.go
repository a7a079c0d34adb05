package journal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// openKeyring reads the keyring and unwraps its keys, before anything else is read or written.
func (j *Journal) openKeyring(journal string) error {
	e := &j.options.Encryption
	if err := e.check(); err != nil {
		return err
	}
	k, err := j.readKeyring(journal)
	if err != nil || k == nil {
		return err
	}
	if k.needsMaster() && len(e.Key) == 0 {
		return ErrNoKey
	}
	if len(e.Key) > 0 {
		if j.wrap, err = wrapping(e.Key, k.salt, journal); err != nil {
			return err
		}
		err = k.unwrap(j.wrap, journal)
		if err != nil && len(e.Previous) > 0 {
			var before cipher.AEAD
			if before, err = wrapping(e.Previous, k.salt, journal); err != nil {
				return err
			}
			if err = k.unwrap(before, journal); err == nil {
				j.rewrap = true
			}
		}
		if err != nil {
			return err
		}
	}
	j.keyring.Store(k)
	return nil
}

// readKeyring returns nil if there is no keyring.
func (j *Journal) readKeyring(journal string) (*keyring, error) {
	if j.shared == nil {
		return readKeyring(j.options.FS, j.dir, journal)
	}
	text, err := j.shared.Keyring()
	if err != nil || text == nil {
		return nil, err
	}
	return parseKeyring(text, journal)
}

// unwrap decrypts all keys, or returns ErrWrongKey. The file is intact, since its checksum is
// right.
func (k *keyring) unwrap(wrap cipher.AEAD, journal string) error {
	for _, p := range k.periods {
		if !p.live() {
			continue
		}
		key, err := wrap.Open(nil, p.Wrapped[:nonceBytes], p.Wrapped[nonceBytes:], p.bound(journal))
		if err != nil {
			return ErrWrongKey
		}
		if err := p.use(key); err != nil {
			return err
		}
	}
	return nil
}

// use prepares the period for encryption and salts with key.
func (p *period) use(key []byte) (err error) {
	if p.aead, err = newAEAD(key); err != nil {
		return err
	}
	p.salt, err = saltCipher(key)
	return err
}

// bound returns the additional data of a wrapped key, so that no key can replace another.
func (p *period) bound(journal string) []byte {
	b := appendString([]byte("auditrelay period"), journal)
	b = binary.BigEndian.AppendUint64(b, p.Number)
	b = binary.BigEndian.AppendUint64(b, p.From)
	return binary.BigEndian.AppendUint64(b, uint64(p.Began.UnixNano()))
}

func (p *period) wrapKey(wrap cipher.AEAD, journal string, key []byte) {
	nonce := make([]byte, nonceBytes)
	rand.Read(nonce) // never fails
	p.Wrapped = wrap.Seal(nonce, nonce, key, p.bound(journal))
}

// keyEncrypted is a key in the database that says that there is a keyring, so that a missing
// keyring is detected.
var keyEncrypted = []byte{spaceOwn, 'k'}

// settleKeyring adapts the keyring to the state of the database.
func (j *Journal) settleKeyring() error {
	_, closer, err := j.store.Get(keyEncrypted)
	switch {
	case errors.Is(err, ErrAbsent):
	case err != nil:
		return j.damaged(0, 0, err)
	default:
		if err := closer.Close(); err != nil {
			return err
		}
		if j.keyring.Load() == nil {
			return &CorruptError{Err: fmt.Errorf("%s is missing, without which nothing of it can be read; put a copy of it from a backup in its place", keyringName)}
		}
	}
	k := j.keyring.Load()
	if k == nil {
		return nil
	}
	// A backup's keyring may be newer than its database. Nothing is encrypted yet with a period
	// that starts after the end.
	next := j.state.Load().next
	kept := len(k.periods)
	for kept > 0 && k.periods[kept-1].From > next {
		kept--
	}
	if kept == len(k.periods) && !j.rewrap {
		return nil
	}
	k = k.with(slices.Clone(k.periods[:kept]))
	if j.rewrap {
		if k, err = j.rewrapped(k); err != nil {
			return err
		}
	}
	return j.replaceKeyring(k, j.rewrap)
}

// rewrapped returns the keyring wrapped with the current master key.
func (j *Journal) rewrapped(k *keyring) (*keyring, error) {
	e, id := &j.options.Encryption, j.id.ID
	before, err := wrapping(e.Previous, k.salt, id)
	if err != nil {
		return nil, err
	}
	again := &keyring{salt: newSalt()}
	if j.wrap, err = wrapping(e.Key, again.salt, id); err != nil {
		return nil, err
	}
	for _, p := range k.periods {
		copied := *p
		if p.live() {
			key, err := before.Open(nil, p.Wrapped[:nonceBytes], p.Wrapped[nonceBytes:], p.bound(id))
			if err != nil {
				return nil, ErrWrongKey
			}
			copied.wrapKey(j.wrap, id, key)
		}
		again.periods = append(again.periods, &copied)
	}
	return again, nil
}

func newSalt() []byte {
	salt := make([]byte, 32)
	rand.Read(salt) // never fails
	return salt
}

// replaceKeyring makes k durable and then current. The caller must hold keyMu or have exclusive
// access.
func (j *Journal) replaceKeyring(k *keyring, wipe bool) error {
	text, err := k.text(j.id.ID)
	if err != nil {
		return err
	}
	if j.shared != nil {
		err = j.shared.SetKeyring(text, wipe)
	} else {
		err = writeKeyring(j.options.FS, j.dir, text, wipe)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", keyringName, err)
	}
	j.keyring.Store(k)
	return nil
}

// current returns the period of events with sequences from next on that are received at that
// time, or nil if nothing is or was encrypted. If a new period is due, current first makes its
// key durable. Only the leader calls it. Times never go back from one group to the next, even
// if the clock does, and so neither do periods.
func (j *Journal) current(next uint64, received int64) (p *period, isNew bool, err error) {
	e := &j.options.Encryption
	k := j.keyring.Load()
	last := k.last()
	switch {
	case last == nil && !e.encrypts():
		return nil, false, nil
	case last == nil:
	case last.Plain && !e.encrypts(), !last.Plain && e.encrypts() && received < last.Until.UnixNano():
		return last, false, nil
	}
	j.keyMu.Lock()
	defer j.keyMu.Unlock()
	if k = j.keyring.Load(); k == nil { // meanwhile a period other than the current one may have been destroyed
		k = &keyring{salt: newSalt()}
		if j.wrap, err = wrapping(e.Key, k.salt, j.id.ID); err != nil {
			return nil, false, err
		}
	}
	if len(k.periods) >= maxPeriods {
		return nil, false, fmt.Errorf("the keyring has %d periods, which is all it takes: destroy old ones, shorten the retention, or make periods longer", maxPeriods)
	}
	began := fromUnixNano(received - received%int64(e.period()))
	p = &period{Period: Period{Number: 1, From: next, Began: began, Until: began.Add(e.period()), Plain: !e.encrypts()}}
	if last != nil {
		p.Number = last.Number + 1
		// After a change of the period length, the first new period starts late.
		p.Began = latest(p.Began, last.Began, last.Until)
	}
	if p.Plain {
		p.Began, p.Until = latest(fromUnixNano(received), last.Began), time.Time{}
	} else {
		key := make([]byte, periodKeyBytes)
		rand.Read(key) // never fails
		p.wrapKey(j.wrap, j.id.ID, key)
		if err := p.use(key); err != nil {
			return nil, false, err
		}
	}
	k = k.with(append(slices.Clone(k.periods), p))
	if err := j.replaceKeyring(k, false); err != nil {
		return nil, false, fmt.Errorf("begin a period of encryption: %w", err)
	}
	return p, true, nil
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// Destroy destroys a period's key. Data that is encrypted with it can never be read again, here
// or in a later copy of the journal. When Destroy returns nil, the destruction is durable.
// Destroying a key again changes nothing.
//
// Destroy does not check whether the period is still needed; the caller must. The current
// period cannot be destroyed.
func (j *Journal) Destroy(number uint64) (Period, error) {
	done, err := j.reading()
	if err != nil {
		return Period{}, err
	}
	defer done()
	j.keyMu.Lock()
	defer j.keyMu.Unlock()
	k := j.keyring.Load()
	last := k.last()
	if last == nil || number == 0 || number > last.Number {
		return Period{}, fmt.Errorf("period %d: %w", number, ErrNoPeriod)
	}
	p, err := k.numbered(number)
	if errors.Is(err, ErrErased) && number >= k.periods[0].Number {
		return k.periods[number-k.periods[0].Number].Period, nil
	}
	if err != nil {
		return Period{}, fmt.Errorf("period %d: %w", number, ErrNoPeriod)
	}
	switch {
	case p.Current():
		return p.Period, fmt.Errorf("period %d is the current one: it can be destroyed once the next has begun", number)
	case p.Plain:
		return p.Period, fmt.Errorf("period %d has no key: encryption was off", number)
	}
	gone := &period{Period: p.Period}
	gone.Destroyed = j.options.Now().UTC()
	periods := slices.Clone(k.periods)
	periods[number-periods[0].Number] = gone
	if err := j.replaceKeyring(k.with(periods), true); err != nil {
		return p.Period, fmt.Errorf("destroy period %d: %w", number, err)
	}
	return gone.Period, nil
}

// ForgetPeriods removes the periods below a number and destroys their keys. Like Destroy it
// does not check whether they are still needed. It keeps the current period.
func (j *Journal) ForgetPeriods(below uint64) error {
	done, err := j.reading()
	if err != nil {
		return err
	}
	defer done()
	j.keyMu.Lock()
	defer j.keyMu.Unlock()
	k := j.keyring.Load()
	if k.last() == nil {
		return nil
	}
	below = min(below, k.last().Number)
	if below <= k.periods[0].Number {
		return nil
	}
	return j.replaceKeyring(k.with(slices.Clone(k.periods[below-k.periods[0].Number:])), true)
}
