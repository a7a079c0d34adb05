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

// openKeyring reads the keyring and unwraps its keys, before anything is written and
// anything is read.
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

// readKeyring returns nil where there is none.
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

// unwrap fills in the keys. All of them open, or ErrWrongKey: the file is whole, since
// its checksum holds.
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

// use has the period's key encrypt, and make salts.
func (p *period) use(key []byte) (err error) {
	if p.aead, err = newAEAD(key); err != nil {
		return err
	}
	p.salt, err = saltCipher(key)
	return err
}

// bound is what a wrapped key is bound to: no key can stand in for another.
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

// keyEncrypted says in the database that there is a keyring, so that a keyring that
// is missing is noticed.
var keyEncrypted = []byte{spaceOwn, 'k'}

// settleKeyring brings the keyring to what the database holds.
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
	// A backup may have a keyring that is younger than what is in it. Nothing is
	// encrypted yet under what is to begin beyond the end.
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

// rewrapped is the keyring under the present master key.
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

// replaceKeyring makes k durable and then the one in force. The caller holds keyMu, or
// is alone.
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

// current returns the period of events that get sequences from next on, received at
// that time; nil where nothing is or was encrypted. Where a new one is due its key is
// durable first. Only the leader calls it. Times never go back from one group to the
// next, whatever the clock does, and so neither do periods.
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
	if k = j.keyring.Load(); k == nil { // destroyed meanwhile may be what is not current
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
		// Whoever gives periods another length has the first of them begin late.
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

// Destroy destroys a period's key: what is encrypted under it can never be read again,
// here or in a copy of the journal made from now on. When it returns without an error
// that is durable. To destroy it once more changes nothing.
//
// It does not ask what is still needed of the period: that is for the caller to know.
// The current period cannot be destroyed.
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

// ForgetPeriods drops the periods below a number, with their keys, which are destroyed
// by that. As Destroy it does not ask what is still needed. The current period stays.
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
