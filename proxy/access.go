package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/accesslog"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// logLine is the line of a request under way. A connection has one only while a request is served with the access log on.
type logLine struct {
	accesslog.Entry
	waits time.Time // since when it has waited for its next attempt's connection
}

// logLines lends them, so that a line costs no memory.
var logLines = sync.Pool{New: func() any { return new(logLine) }}

// openFile is the door of a nil Config.OpenLog.
func openFile(path string) (io.WriteCloser, error) {
	if path == config.LogStdout {
		return keepOpen{os.Stdout}, nil
	}
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

// keepOpen is a file that is not ours to close.
type keepOpen struct{ io.Writer }

// Close implements io.Closer.
func (keepOpen) Close() error { return nil }

// openLog makes the access log of the settings, nil for none.
func (s *Server) openLog(settings *config.AccessLog) (*accesslog.Log, error) {
	if settings == nil {
		return nil, nil
	}
	cfg := accesslog.Config{
		Text: settings.Format == config.LogText, Buffer: settings.Buffer, Clock: s.clk,
		Open: func() (io.WriteCloser, error) { return s.cfg.OpenLog(settings.Path) },
		Failed: func(err error) {
			s.log.Error("the access log cannot be written: its lines are lost", "path", settings.Path, "error", err)
		},
	}
	for _, name := range settings.Fields {
		if f, ok := accesslog.FieldNamed(name); ok { // it has been checked
			cfg.Fields = append(cfg.Fields, f)
		}
	}
	log, err := accesslog.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("proxy: access log: %w", err)
	}
	return log, nil
}

// ReopenLog opens the file of the access log anew, as the rotation of logs wants it; without an access log it does nothing.
// When the file cannot be opened the old one stays, and the error says why.
func (s *Server) ReopenLog() error {
	log := s.access.Load()
	if log == nil {
		return nil
	}
	if err := log.Reopen(); err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	return nil
}

// changeLog puts another access log in force, or none, and writes what the old one has.
func (s *Server) changeLog(next *accesslog.Log) {
	if old := s.access.Swap(next); old != nil {
		old.Close()
		st := old.Stats()
		s.logged.written.Add(st.Written)
		s.logged.dropped.Add(st.Dropped)
		s.logged.errors.Add(st.Errors)
	}
}

// beginLine begins the line of a request whose first byte is here, if the access log is on.
func (c *client) beginLine(protocol string) {
	c.line = nil
	if c.s.access.Load() == nil {
		return
	}
	l := logLines.Get().(*logLine)
	c.line = l
	if c.peer == "" {
		c.peer = c.name()
	}
	l.Time, l.waits = c.s.clk.Now(), c.s.now()
	l.Listener, l.Client, l.Protocol, l.ClientRequest = c.l.name, c.peer, protocol, 1
}

// endLine writes it. A line without an outcome is that of a request that never came.
func (c *client) endLine() {
	l := c.line
	c.line = nil
	if l.Outcome != "" {
		for log := c.s.access.Load(); log != nil && !log.Write(&l.Entry); log = c.s.access.Load() {
		}
	}
	l.Reset()
	logLines.Put(l)
}

// lineOver ends the line of a request, if there is one and it has not been ended.
func (c *httpConn) lineOver() {
	if c.line != nil {
		c.logRequest()
		c.endLine()
	}
}

// logRequest notes what was asked. The slices are the request's, which stay as they are until the next head.
func (c *httpConn) logRequest() {
	l, req := c.line, &c.req
	l.ClientRequest = c.served
	if len(req.Method) == 0 { // nothing could be trusted
		l.ClientRequest++
		return
	}
	l.Protocol = "HTTP/1.1"
	switch {
	case c.isStream:
		l.Protocol = "HTTP/2.0"
	case req.Minor == 0:
		l.Protocol = "HTTP/1.0"
	}
	l.Method, l.Host, l.TargetBytes = req.Method, req.Authority, len(req.Target)
	l.Path, l.Query, _ = bytes.Cut(req.Path, queryMark)
	l.HeadIn, l.RequestID = int64(req.HeadBytes), c.id
	l.UserAgent = req.Get("User-Agent")
	if c.plan != nil && c.trusted() {
		l.ForwardedFor = req.Get("X-Forwarded-For")
	}
	l.BodyIn += c.body.Passed()
	if c.to != nil {
		l.Upstream = c.to.settings.Name
	}
}

var queryMark = []byte("?")

// logHead notes that an answer's head, of that many bytes, is on its way to the client.
func (c *httpConn) logHead(status, n int) {
	if l := c.line; l != nil {
		l.Status, l.HeadOut, l.FirstByte = status, int64(n), c.s.clk.Since(l.Time)
	}
}

// logAnswer notes an answer of our own.
func (c *client) logAnswer(status, head, body int) {
	if l := c.line; l != nil {
		l.Status, l.HeadOut, l.BodyOut = status, int64(head), int64(body)
	}
}

// logOutcome notes how the request ended, and that it has: the farewell to a client is none of its time.
func (c *client) logOutcome(word string) {
	if l := c.line; l != nil {
		l.Outcome, l.Total = word, c.s.clk.Since(l.Time)
	}
}

// logDetail notes why a head could not be trusted.
func (c *client) logDetail(word string) {
	if c.line != nil {
		c.line.Detail = word
	}
}

// fail counts the request as failed.
func (c *client) fail(f Failure, detail string) {
	c.logOutcome(f.String())
	c.s.fail(c.l, f, detail)
}

// logAttempt notes an attempt that is about to be finished.
func (c *client) logAttempt(a *upstream.Attempt, now time.Time, o upstream.Outcome) {
	l := c.line
	if l == nil {
		return
	}
	l.waits = now
	l.Attempts = append(l.Attempts, accesslog.Attempt{Backend: a.Address, Outcome: o.String(), Duration: now.Sub(a.Began)})
	l.Backend = a.Address
	l.HasConn, l.Reused, l.ConnUses, l.ConnAge = true, a.Conn.Reused(), a.Conn.Uses(), now.Sub(a.Conn.Born())
	dialled := time.Duration(0)
	if l.ConnUses == 1 && !l.Reused {
		dialled = min(a.Waited, a.Conn.DialTime())
	}
	l.Connect += dialled
	l.QueueWait += a.Waited - dialled
}

// logNoAttempt notes that no connection was to be had.
func (c *client) logNoAttempt(err error) {
	l := c.line
	if l == nil {
		return
	}
	waited := c.s.now().Sub(l.waits)
	l.QueueWait += waited
	var connect *upstream.ConnectError
	if !errors.As(err, &connect) {
		return
	}
	var dial *pool.DialError
	if errors.As(err, &dial) {
		l.Backend = dial.Address
	}
	l.Attempts = append(l.Attempts, accesslog.Attempt{
		Backend: l.Backend, Outcome: upstream.OutcomeConnectFailed.String(), Duration: waited,
	})
}

// logBody notes how much of an answer's body was passed on, before its connection is given back.
func (c *httpConn) logBody(body *http1.Body) {
	if l := c.line; l != nil && c.started && c.resp.Status != 101 {
		l.BodyOut = body.Passed()
	}
}

// logTunnel notes how much went through a tunnel.
func (c *client) logTunnel(in, out int64) {
	if l := c.line; l != nil {
		l.BodyIn, l.BodyOut = in, out
	}
}
