package accesslog

import "time"

// Entry is what is told of one request, or of one tunnel. What is zero is left out of the line, except numbers that are
// always known. The byte slices are only read by Write, and not kept. An Entry that is used again saves memory; it
// belongs to one goroutine.
type Entry struct {
	// Time is the instant of the request's first byte (of a tunnel: of the accept), written as RFC 3339 in UTC with
	// nanoseconds.
	Time time.Time
	// Listener is the address of the listener as configured.
	Listener string
	// Protocol is HTTP/1.1, HTTP/1.0, http where no version could be read, or tcp.
	Protocol string
	// Client is the peer's address and port.
	Client string
	// ForwardedFor is what a peer that is believed says about the client behind it: its X-Forwarded-For, cut after 256 bytes.
	ForwardedFor []byte
	// ClientRequest numbers the requests of the client's connection from 1.
	ClientRequest int
	// Method, Host, Path and Query are the request's, as received; Path is cut after 1024 bytes, and so is Query, Method
	// after 32 and Host after 256.
	Method, Host, Path, Query []byte
	// TargetBytes is the length of the whole request target, in bytes.
	TargetBytes int
	// Status is the status that the client got, 0 for none.
	Status int
	// Outcome is answered, or the word of a failure.
	Outcome string
	// Detail is the word that says more about the outcome, where there is one: why a head could not be trusted.
	Detail string
	// Upstream is the name of the group, Backend the address of the last attempt's backend.
	Upstream, Backend string
	// HasConn says that there was an attempt with a connection. Of the last one's, Reused says whether it had been used
	// before, ConnAge how long ago its dial ended, and ConnUses how often it had been lent, this time included.
	HasConn  bool
	Reused   bool
	ConnAge  time.Duration
	ConnUses uint64
	// QueueWait is how long all attempts together waited for a connection, without Connect: the part of it in which the
	// connection that was got was dialled.
	QueueWait, Connect time.Duration
	// FirstByte is the time from Time to the head of a backend's answer, 0 for none; Total that to the end of the request:
	// the last byte of a backend's answer, or the decision for an answer of our own.
	FirstByte, Total time.Duration
	// HeadIn and BodyIn are the bytes of the request, HeadOut and BodyOut those of the answer that the client got; bodies
	// without their framing. Of a tunnel, its bytes each way are those of the bodies.
	HeadIn, BodyIn, HeadOut, BodyOut int64
	// Attempts are the attempts in their order, of which 16 are written.
	Attempts []Attempt
	// UserAgent is the client's name for itself, cut after 256 bytes.
	UserAgent []byte
	// RequestID is the request's identity, cut after 128 bytes.
	RequestID []byte

	scratch []byte // the line
}

// Attempt is one attempt at a backend.
type Attempt struct {
	// Backend is its address, empty where none is known.
	Backend string
	// Outcome is the word for how it ended.
	Outcome string
	// Duration is how long it took from the connection, or from the wish for one where none was had.
	Duration time.Duration
}

// How much of what clients choose is written.
const (
	maxMethod, maxHost, maxPath, maxIdentity = 32, 256, 1024, 128
	maxName                                  = 256 // of what the settings name
	maxAttempts                              = 16
)

// Reset forgets everything but the memory.
func (e *Entry) Reset() {
	clear(e.Attempts)
	*e = Entry{Attempts: e.Attempts[:0], scratch: e.scratch[:0]}
}

// Field is a part of a line. The list is closed; String gives its name.
type Field uint8

// The fields, in the order of a line.
const (
	Time Field = iota
	Listener
	Protocol
	Client
	ForwardedFor
	ClientRequest
	Method
	Host
	Path
	Query
	TargetBytes
	Status
	Outcome
	Detail
	Upstream
	Backend
	Reused
	ConnAge
	ConnUses
	QueueWait
	Connect
	FirstByte
	Total
	HeadIn
	BodyIn
	HeadOut
	BodyOut
	Retries
	Attempts
	UserAgent
	RequestID

	numFields = int(iota)
)

var fieldNames = [numFields]string{
	"time", "listener", "protocol", "client", "forwarded_for", "client_request", "method", "host", "path", "query", "target_bytes",
	"status", "outcome", "detail", "upstream", "backend", "reused", "conn_age", "conn_uses", "queue_wait", "connect", "first_byte",
	"total", "head_in", "body_in", "head_out", "body_out", "retries", "attempts", "user_agent", "request_id",
}

// String returns the field's name.
func (f Field) String() string {
	if int(f) < numFields {
		return fieldNames[f]
	}
	return "unknown"
}

// Fields returns the closed list, in the order of a line.
func Fields() []Field {
	all := make([]Field, numFields)
	for i := range all {
		all[i] = Field(i)
	}
	return all
}

// FieldNamed returns the field of that name.
func FieldNamed(name string) (Field, bool) {
	for i, n := range fieldNames {
		if n == name {
			return Field(i), true
		}
	}
	return 0, false
}
