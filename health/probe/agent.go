package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/wavepool/wavepool/health"
)

// The bounds of what an agent may say, and be told.
const (
	// MaxAgentLine is the longest line, in bytes, without its end.
	MaxAgentLine = 1 << 10
	// MaxAgentWeight is the highest weight, in percent of the configured one.
	MaxAgentWeight = 1000
	// MaxAgentConnections is the highest number after maxconn.
	MaxAgentConnections = 1_000_000
	// MaxAgentSend is the most that may be sent to an agent.
	MaxAgentSend = 4 << 10
)

// AgentReport is what the agent beside a backend says of it in one line. What it does not speak of stays as it was.
type AgentReport struct {
	// Says is what the judge gets to know.
	Says health.AgentReport
	// Weight is in percent of the configured one, from 0 to MaxAgentWeight; -1 where the line has none.
	Weight int
	// MaxConnections is the most connections to the backend, at least 1; 0 where the line has none.
	MaxConnections int
	// Text is what the line has for people, behind a #.
	Text string
}

// The mistakes in a line.
var (
	errAgentEmpty  = errors.New("the agent's line is empty")
	errAgentBytes  = errors.New("the agent's line holds bytes that are not ASCII text")
	errAgentLength = fmt.Errorf("the agent's line is longer than %d bytes", MaxAgentLine)
	errAgentTwice  = errors.New("the agent's line says two things of the same kind")
	errAgentWord   = errors.New("the agent's line has a word that is none")
)

// ParseAgent parses the line of an agent in the language of HAProxy's agent-check (its configuration manual, "agent-check"), without
// its end. Words stand apart by spaces, tabs and commas, in any case of letters:
//
//	75%           the weight, in percent of the configured one; 0% is as good as drain
//	ready         ends drain and maint
//	drain         the backend gets nothing new
//	maint         it is out entirely
//	up            the service works
//	down, stopped, fail   it does not
//	maxconn:30    the most connections to the backend
//	# text        the rest is for people
//
// A line with a word that is none of these, or with two of the same kind, is not believed in any part; nor is one without any word.
func ParseAgent(line string) (AgentReport, error) {
	r := AgentReport{Weight: -1}
	if len(line) > MaxAgentLine {
		return r, errAgentLength
	}
	for i := range len(line) {
		if c := line[i]; (c < ' ' || c > '~') && c != '\t' {
			return r, errAgentBytes
		}
	}
	line, text, _ := strings.Cut(line, "#")
	r.Text = strings.Trim(text, " \t")
	words := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
	if len(words) == 0 {
		return AgentReport{Weight: -1}, errAgentEmpty
	}
	for _, word := range words {
		if err := r.take(strings.ToLower(word)); err != nil {
			return AgentReport{Weight: -1}, fmt.Errorf("%w: %q", err, beginning([]byte(word)))
		}
	}
	return r, nil
}

// take takes one word in.
func (r *AgentReport) take(word string) error {
	mode, state := health.AgentSilent, health.AgentMute
	switch word {
	case "ready":
		mode = health.AgentInService
	case "drain":
		mode = health.AgentToDrain
	case "maint":
		mode = health.AgentInMaintenance
	case "up":
		state = health.AgentWell
	case "down", "stopped", "fail":
		state = health.AgentIll
	default:
		return r.takeNumber(word)
	}
	if mode != health.AgentSilent && r.Says.Mode != health.AgentSilent || state != health.AgentMute && r.Says.State != health.AgentMute {
		return errAgentTwice
	}
	r.Says.Mode, r.Says.State = max(mode, r.Says.Mode), max(state, r.Says.State)
	return nil
}

func (r *AgentReport) takeNumber(word string) error {
	if digits, ok := strings.CutSuffix(word, "%"); ok {
		n, ok := number(digits, MaxAgentWeight)
		switch {
		case !ok:
			return errAgentWord
		case r.Weight >= 0:
			return errAgentTwice
		}
		r.Weight, r.Says.Weightless, r.Says.Weighty = n, n == 0, n > 0
		return nil
	}
	digits, ok := strings.CutPrefix(word, "maxconn:")
	n, good := number(digits, MaxAgentConnections)
	switch {
	case !ok || !good || n == 0:
		return errAgentWord
	case r.MaxConnections > 0:
		return errAgentTwice
	}
	r.MaxConnections = n
	return nil
}

// number reads a number of digits alone, up to a bound.
func number(digits string, most int) (int, bool) {
	if len(digits) == 0 || len(digits) > 7 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n <= most
}

// AgentProber asks an agent. It belongs to one goroutine.
type AgentProber struct {
	dialer Dialer
	port   string
	send   []byte
	heard  AgentReport
}

// Agent returns a prober that connects to a port of the backend's host, sends what it is given, if anything, and reads one line,
// which must have an end (CR or LF). An agent that cannot be reached, or says what is not understood, fails this check, and that
// is no evidence against the backend: nothing is known. A nil dialer is the real network.
func Agent(d Dialer, port int, send []byte) (*AgentProber, error) {
	switch {
	case port < 1 || port > 65535:
		return nil, fmt.Errorf("probe: the agent's port is %d; from 1 to 65535", port)
	case len(send) > MaxAgentSend:
		return nil, fmt.Errorf("probe: there are %d bytes to be sent; at most %d", len(send), MaxAgentSend)
	}
	return &AgentProber{dialer: orReal(d), port: strconv.Itoa(port), send: send}, nil
}

// Heard is what the last Probe that succeeded has heard.
func (p *AgentProber) Heard() AgentReport { return p.heard }

// Probe implements Prober. The address is that of the backend, whose port is another one.
func (p *AgentProber) Probe(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return &Error{Kind: Connect, Err: err}
	}
	conn, err := p.dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, p.port))
	if err != nil {
		return failure(ctx, Connect, err)
	}
	defer guard(ctx, conn)()
	if len(p.send) > 0 {
		if _, err := conn.Write(p.send); err != nil {
			return failure(ctx, BadAnswer, fmt.Errorf("sending: %w", err))
		}
	}
	line, err := readLine(conn)
	if err != nil {
		return failure(ctx, BadAnswer, fmt.Errorf("reading the agent's line: %w", err))
	}
	r, err := ParseAgent(line)
	if err != nil {
		return &Error{Kind: BadAnswer, Err: err}
	}
	p.heard = r
	return nil
}

// readLine reads up to the end of the first line, and no further than a line may be long.
func readLine(r io.Reader) (string, error) {
	buf := make([]byte, MaxAgentLine+1)
	for n := 0; ; {
		more, err := r.Read(buf[n:])
		if i := strings.IndexAny(string(buf[n:n+more]), "\r\n"); i >= 0 {
			return string(buf[:n+i]), nil
		}
		switch n += more; {
		case n == len(buf):
			return "", errAgentLength
		case errors.Is(err, io.EOF):
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		}
	}
}
