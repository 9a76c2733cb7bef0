package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// MaxExchangeBytes is the most that an exchange may send, and the most that it may read. A pattern is tried again with
// each piece that arrives, so that a backend which sends single bytes makes a check cost the square of this.
const MaxExchangeBytes = 4 << 10

// defaultExchangeRead is how much an exchange reads when its config says nothing.
const defaultExchangeRead = 1 << 10

// ExchangeConfig says what is sent to a backend, and what is expected of its answer. Exactly one of Expect and Match is
// given.
//
//	Redis:              Send "PING\r\n", Expect "+PONG"
//	PostgreSQL:         Send "\x00\x00\x00\x08\x04\xd2\x16\x2f" (its SSLRequest), Match `^[SN]`
//	SMTP, which greets: no Send, Expect "220"
type ExchangeConfig struct {
	// Send is what is sent first. Default none: the backend is to speak first. At most MaxExchangeBytes.
	Send []byte
	// Expect is what the answer must begin with. At most MaxBytes.
	Expect []byte
	// Match is a pattern that must match somewhere in the first MaxBytes of the answer; one that begins with ^ ties it to the
	// beginning. It is tried on what has arrived so far, each time that something arrives, so that a pattern should not end
	// in $. Bytes that are not UTF-8 are to it single characters that nothing but a dot or a negated class matches.
	Match *regexp.Regexp
	// MaxBytes is how much of the answer is read. Default 1024 (when 0), or the length of Expect if that is more; from 1 to
	// MaxExchangeBytes.
	MaxBytes int
}

// errNeitherOrBoth is the refusal of a config that does not say what a good answer is.
var errNeitherOrBoth = errors.New("probe: an exchange needs either Expect or Match")

// Exchange returns a prober for any protocol: it sends a few bytes over a fresh connection, and is content when the answer
// begins as expected, or matches. It reads no further than it must to know. A backend whose process does not run any more
// while its kernel still accepts connections fails this check by its silence, and passes one that only connects.
//
// A nil dialer is the real network. The error is that of a config out of range.
func Exchange(d Dialer, cfg ExchangeConfig) (Prober, error) {
	if (len(cfg.Expect) == 0) == (cfg.Match == nil) {
		return nil, errNeitherOrBoth
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = max(defaultExchangeRead, len(cfg.Expect))
	}
	switch {
	case len(cfg.Send) > MaxExchangeBytes:
		return nil, fmt.Errorf("probe: Send has %d bytes; at most %d", len(cfg.Send), MaxExchangeBytes)
	case cfg.MaxBytes < 0 || cfg.MaxBytes > MaxExchangeBytes:
		return nil, fmt.Errorf("probe: MaxBytes is %d; from 1 to %d", cfg.MaxBytes, MaxExchangeBytes)
	case len(cfg.Expect) > cfg.MaxBytes:
		return nil, fmt.Errorf("probe: Expect has %d bytes, but MaxBytes is %d", len(cfg.Expect), cfg.MaxBytes)
	}
	return &exchange{orReal(d), cfg}, nil
}

type exchange struct {
	dialer Dialer
	cfg    ExchangeConfig
}

// Probe implements Prober.
func (p *exchange) Probe(ctx context.Context, address string) error {
	conn, err := p.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return failure(ctx, Connect, err)
	}
	defer guard(ctx, conn)()
	if len(p.cfg.Send) > 0 {
		if _, err := conn.Write(p.cfg.Send); err != nil {
			return failure(ctx, BadAnswer, fmt.Errorf("sending: %w", err))
		}
	}
	if err := p.read(conn); err != nil {
		return failure(ctx, BadAnswer, err)
	}
	return nil
}

// read reads until what has come decides.
func (p *exchange) read(conn io.Reader) error {
	buf := make([]byte, p.cfg.MaxBytes)
	for n := 0; ; {
		more, err := conn.Read(buf[n:])
		n += more
		good, done := false, false
		if more > 0 { // silence is no answer, though a pattern may match nothing
			good, done = p.judge(buf[:n], n == len(buf))
		}
		switch {
		case good:
			return nil
		case done:
			return fmt.Errorf("the answer is not what is expected; it begins with %q", beginning(buf[:n]))
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the connection was closed after %q: %w", beginning(buf[:n]), io.ErrUnexpectedEOF)
		case err != nil:
			return fmt.Errorf("reading the answer: %w", err)
		}
	}
}

// judge says whether what has come is good, and whether more could change that.
func (p *exchange) judge(got []byte, full bool) (good, done bool) {
	if p.cfg.Match != nil {
		return p.cfg.Match.Match(got), full
	}
	want := p.cfg.Expect
	if len(got) >= len(want) {
		return bytes.HasPrefix(got, want), true
	}
	return false, !bytes.HasPrefix(want, got)
}

// beginning is what people are shown of an answer.
func beginning(got []byte) []byte { return got[:min(len(got), 32)] }
