package proxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// Sticky says what became of a cookie of the sticky setting. The list is closed; String gives the word that the status uses.
type Sticky uint8

// What becomes of a cookie.
const (
	// StickyHonoured: the request was answered by the backend of its cookie.
	StickyHonoured Sticky = iota
	// StickyMoved: the cookie is a good one, but its backend could not be used: another one answered.
	StickyMoved
	// StickyGone: the cookie is a good one, of a backend that the upstream does not have.
	StickyGone
	// StickyExpired: its time is over.
	StickyExpired
	// StickyForged: none of our secrets has signed it for this upstream.
	StickyForged

	// NumStickies is the number of them.
	NumStickies = int(iota)
)

var stickyWords = [NumStickies]string{"honoured", "moved", "gone", "expired", "forged"}

// String returns the word.
func (s Sticky) String() string {
	if int(s) < NumStickies {
		return stickyWords[s]
	}
	return "unknown"
}

// Stickies returns the closed list, in order.
func Stickies() []Sticky {
	all := make([]Sticky, NumStickies)
	for i := range all {
		all[i] = Sticky(i)
	}
	return all
}

// A cookie's value is base64url of
//
//	version (1 byte) | backend (8) | expiry, seconds of the Unix time (5, big endian) | signature (16)
//
// The backend is a HMAC-SHA256 of its address under the secret, shortened, so that it tells nothing of the address, and is another one
// for each upstream. The signature is one of what stands before it, and of the upstream's name. A cookie is as good as its secret:
// who does not have that can neither make one, nor choose a backend, nor live longer than the expiry says.
const (
	cookieVersion = 1
	cookieID      = 8
	cookieBody    = 1 + cookieID + 5
	cookieBytes   = cookieBody + 16
	cookieText    = cookieBytes / 3 * 4
	// minSecret and maxSecret bound a secret, in bytes.
	minSecret, maxSecret = 16, 4096
	// lookEvery is how often at most the backends are looked through for one that nobody knows.
	lookEvery = time.Second
)

type stickyID [cookieID]byte

// sticker signs cookies and reads them. It is safe for concurrent use.
type sticker struct {
	cfg      config.Sticky
	upstream string
	secrets  [][]byte
	tail     string // the attributes after the value, but for Secure

	mu     sync.Mutex
	known  map[stickyID]string // the addresses of backends, under all secrets
	looked time.Time
}

// newSticker reads the secrets; nil where no cookie is wanted.
func (s *Server) newSticker(c *config.Upstream) (*sticker, error) {
	if c.Sticky == nil {
		return nil, nil
	}
	k := &sticker{cfg: *c.Sticky, upstream: c.Name, known: map[stickyID]string{}}
	read := s.cfg.ReadFile
	if read == nil {
		read = os.ReadFile
	}
	for _, file := range c.Sticky.SecretFiles {
		secret, err := read(file)
		if secret = bytes.TrimRight(secret, "\r\n"); err == nil && (len(secret) < minSecret || len(secret) > maxSecret) {
			err = fmt.Errorf("it has %d bytes; a secret has from %d to %d", len(secret), minSecret, maxSecret)
		}
		if err != nil {
			return nil, fmt.Errorf("proxy: upstream %s: sticky.secret_files: %s: %w", c.Name, file, err)
		}
		k.secrets = append(k.secrets, secret)
	}
	if len(k.secrets) == 0 {
		return nil, errors.New("proxy: upstream " + c.Name + ": sticky has no secret")
	}
	// A reload makes another sticker, and many requests may come while the first one looks.
	for _, b := range c.Backends {
		for _, secret := range k.secrets {
			k.known[k.id(secret, b.Address)] = b.Address
		}
	}
	k.tail = "; Path=" + k.cfg.Path + "; Max-Age=" + strconv.FormatInt(int64(k.cfg.TTL/time.Second), 10) + "; HttpOnly"
	if site := k.cfg.SameSite; site != config.SameSiteOff {
		k.tail += "; SameSite=" + strings.ToUpper(site[:1]) + site[1:]
	}
	return k, nil
}

// sum is a HMAC-SHA256 of parts that cannot be confused: none of those before the last has a zero byte.
func sum(secret []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, secret)
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

func (k *sticker) id(secret []byte, address string) (id stickyID) {
	copy(id[:], sum(secret, "backend", k.upstream, address))
	return id
}

// sign makes the value that names a backend until an instant.
func (k *sticker) sign(address string, ends time.Time) string {
	id := k.id(k.secrets[0], address)
	k.mu.Lock()
	if len(k.known) < 1<<20 {
		k.known[id] = address
	}
	k.mu.Unlock()
	var raw [cookieBytes]byte
	raw[0] = cookieVersion
	copy(raw[1:], id[:])
	var seconds [8]byte
	binary.BigEndian.PutUint64(seconds[:], uint64(max(ends.Unix(), 0)))
	copy(raw[1+cookieID:], seconds[3:])
	copy(raw[cookieBody:], sum(k.secrets[0], "cookie", k.upstream, string(raw[:cookieBody])))
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// read says which backend a value names, until when, and whether it is signed by the first secret; what is not StickyHonoured
// names none. Members lists the backends of the upstream.
func (k *sticker) read(value []byte, now time.Time, members func() []upstream.Backend) (address string, ends time.Time, first bool, what Sticky) {
	var raw [cookieBytes]byte
	if len(value) != cookieText {
		return "", ends, false, StickyForged
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], value); err != nil || n != cookieBytes || raw[0] != cookieVersion {
		return "", ends, false, StickyForged
	}
	for i, secret := range k.secrets {
		if !hmac.Equal(raw[cookieBody:], sum(secret, "cookie", k.upstream, string(raw[:cookieBody]))[:cookieBytes-cookieBody]) {
			continue
		}
		var seconds [8]byte
		copy(seconds[3:], raw[1+cookieID:cookieBody])
		ends = time.Unix(int64(binary.BigEndian.Uint64(seconds[:])), 0)
		if !now.Before(ends) || ends.After(now.Add(k.cfg.TTL+time.Minute)) { // the ttl was longer once: no older promise binds
			return "", ends, false, StickyExpired
		}
		if address = k.find(stickyID(raw[1:1+cookieID]), now, members); address == "" {
			return "", ends, false, StickyGone
		}
		return address, ends, i == 0, StickyHonoured
	}
	return "", ends, false, StickyForged
}

// find is the address of a backend, or nothing. For one that is not known the backends are looked through, but not at each
// request: that is only ever asked by holders of signed cookies, and they may be many.
func (k *sticker) find(id stickyID, now time.Time, members func() []upstream.Backend) string {
	k.mu.Lock()
	address, ok := k.known[id]
	look := !ok && (k.looked.IsZero() || now.Sub(k.looked) >= lookEvery || now.Before(k.looked))
	if look {
		k.looked = now
	}
	k.mu.Unlock()
	if !look {
		return address
	}
	known := map[stickyID]string{}
	for _, b := range members() {
		for _, secret := range k.secrets {
			known[k.id(secret, b.Address)] = b.Address
		}
	}
	address = known[id] // from here on others write to it
	k.mu.Lock()
	k.known = known
	k.mu.Unlock()
	return address
}

// header is the value of a Set-Cookie field.
func (k *sticker) header(address string, ends time.Time, secure bool) string {
	text := k.cfg.Cookie + "=" + k.sign(address, ends) + k.tail
	if secure {
		text += "; Secure"
	}
	return text
}
