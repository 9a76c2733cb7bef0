package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/wavepool/wavepool/proxy/http1"
)

// maxGRPCAnswer bounds the message of an answer. The one that is defined has two bytes.
const maxGRPCAnswer = 1 << 10

// maxServiceName bounds the name of a service.
const maxServiceName = 1 << 10

// GRPCConfig says what a gRPC check asks. The zero value asks about the server as a whole.
type GRPCConfig struct {
	// Service is the name of the service that is asked about, such as "shop.v1.Cart". Default (when "") the server as a
	// whole. At most 1024 bytes.
	Service string
	// Authority is the :authority of the request. Default (when "") the address of the backend.
	Authority string
}

// errNoStreams is the refusal of a gRPC check without HTTP/2.
var errNoStreams = errors.New("probe: a gRPC check needs a dialer that gives streams of HTTP/2")

// GRPC returns a prober of the standard health service of gRPC: it calls Check of grpc.health.v1.Health, and is content
// with SERVING only. NOT_SERVING, UNKNOWN, a service that the server does not know, and a server without the health
// service all fail.
//
// gRPC is carried by HTTP/2. The dialer gives, for each connection, one stream of HTTP/2 on a fresh connection, seen as a
// connection of HTTP/1.1 for one exchange: the very view that the proxy has of backends that speak HTTP/2, so that a
// check goes the way of the requests. A *net.Dialer does not do that. The error is that of a nil dialer, or of a config
// that is no request.
func GRPC(streams Dialer, cfg GRPCConfig) (Prober, error) {
	if streams == nil {
		return nil, errNoStreams
	}
	if len(cfg.Service) > maxServiceName {
		return nil, fmt.Errorf("probe: Service has %d bytes; at most %d", len(cfg.Service), maxServiceName)
	}
	p := &grpc{dialer: streams, cfg: cfg, body: appendHealthRequest(nil, cfg.Service)}
	var req http1.Request
	if err := req.Parse(p.head("host"), nil); err != nil || len(req.Fields) != grpcFields {
		return nil, fmt.Errorf("probe: Authority %q is not one", cfg.Authority)
	}
	return p, nil
}

type grpc struct {
	dialer Dialer
	cfg    GRPCConfig
	body   []byte // the request's message, in its frame
}

// grpcFields is the number of fields in the request.
const grpcFields = 5

// head returns the head of the request. Its body is chunked, which HTTP/2 carries without a length, as gRPC's own clients
// do.
func (p *grpc) head(address string) []byte {
	host := p.cfg.Authority
	if host == "" {
		host = address
	}
	return []byte("POST /grpc.health.v1.Health/Check HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: wavepool-probe\r\n" +
		"Content-Type: application/grpc\r\n" +
		"TE: trailers\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n")
}

// Probe implements Prober.
func (p *grpc) Probe(ctx context.Context, address string) error { return fresh(ctx, p, address) }

func (p *grpc) door() Dialer { return p.dialer }

// exchange implements exchanger.
func (p *grpc) exchange(ctx context.Context, conn net.Conn, address string, keep bool) (again bool, err error) {
	request := http1.AppendChunkHead(p.head(address), len(p.body))
	request = append(append(request, p.body...), http1.ChunkEnd...)
	if _, err := conn.Write(http1.AppendLastChunk(request, nil)); err != nil {
		return false, failure(ctx, BadAnswer, fmt.Errorf("sending the request: %w", err))
	}
	status, err := p.answer(conn)
	switch {
	case err != nil:
		return false, failure(ctx, BadAnswer, fmt.Errorf("reading the answer: %w", err))
	case status != serving:
		return keep, &Error{Kind: BadStatus, Err: fmt.Errorf("the service is %v", status)}
	}
	return keep, nil // an answer that was read to its end has ended its stream
}

// errNotGRPC is the refusal of an answer that no gRPC server gives.
var errNotGRPC = errors.New("this is no answer of gRPC")

// answer reads the answer, and returns what the server says of the service. A call that has failed is an error with
// gRPC's own status, whether the server has ended the stream with its head (Trailers-Only) or behind a message.
func (p *grpc) answer(conn net.Conn) (servingStatus, error) {
	var r http1.Reader
	r.Reset(conn)
	defer r.Reset(nil) // gives back the borrowed buffer, whatever is left in it
	var resp http1.Response
	limits := http1.Limits{MaxHeadBytes: maxHeadBytes}
	for n := 0; ; n++ {
		if err := r.ReadResponse(&resp, []byte("POST"), &limits); err != nil {
			return 0, err
		}
		if resp.Status >= 200 {
			break
		}
		if n == maxInterim {
			return 0, errInterim
		}
	}
	if resp.Status != 200 || !isGRPC(string(resp.Get("Content-Type"))) {
		return 0, fmt.Errorf("%w: status %d, Content-Type %q", errNotGRPC, resp.Status, resp.Get("Content-Type"))
	}
	code, text := string(resp.Get("Grpc-Status")), string(resp.Get("Grpc-Message"))
	body, trailers, err := readGRPCBody(&r, &resp, &limits)
	if err != nil {
		return 0, err
	}
	for _, f := range trailers {
		switch {
		case strings.EqualFold(string(f.Name), "Grpc-Status"):
			code = string(f.Value)
		case strings.EqualFold(string(f.Name), "Grpc-Message"):
			text = string(f.Value)
		}
	}
	if code != "0" {
		return 0, fmt.Errorf("grpc-status %q %q", code, text)
	}
	return parseHealthAnswer(body)
}

// isGRPC says whether a media type is that of gRPC, in whatever encoding of messages. It is not that of gRPC-Web.
func isGRPC(contentType string) bool {
	const want = "application/grpc"
	if len(contentType) < len(want) || !strings.EqualFold(contentType[:len(want)], want) {
		return false
	}
	rest := contentType[len(want):]
	return rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == ' '
}

// readGRPCBody reads a body to its end, and returns it with its trailers. It may have one frame.
func readGRPCBody(r *http1.Reader, resp *http1.Response, limits *http1.Limits) ([]byte, []http1.Field, error) {
	var body http1.Body
	body.Start(r, resp.Framing, resp.ContentLength, limits)
	var all []byte
	for {
		run, err := body.Next()
		if err == io.EOF {
			return all, body.Trailers(), nil
		}
		if err != nil {
			return nil, nil, err
		}
		if all = append(all, run...); len(all) > grpcFrame+maxGRPCAnswer {
			return nil, nil, fmt.Errorf("the answer has more than %d bytes", maxGRPCAnswer)
		}
	}
}

// grpcFrame is the length of what stands before each message: a byte that says whether it is compressed, and its length.
const grpcFrame = 5

// servingStatus is what a server says of a service (grpc.health.v1.HealthCheckResponse.ServingStatus).
type servingStatus uint64

const serving servingStatus = 1

// String returns the word that the protocol has for the status.
func (s servingStatus) String() string {
	words := [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}
	if s < servingStatus(len(words)) {
		return words[s]
	}
	return "status " + strconv.FormatUint(uint64(s), 10)
}

// appendHealthRequest appends the frame of a HealthCheckRequest, whose only field is the name of the service.
func appendHealthRequest(dst []byte, service string) []byte {
	var message []byte
	if service != "" {
		message = append(message, 1<<3|wireBytes) // field 1
		message = binary.AppendUvarint(message, uint64(len(service)))
		message = append(message, service...)
	}
	dst = append(dst, 0) // not compressed
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(message)))
	return append(dst, message...)
}

// The wire types of the encoding of protocol buffers.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

var (
	errFrame   = errors.New("the answer is not one message in one frame")
	errPacked  = errors.New("the answer is compressed, which nobody has asked for")
	errMessage = errors.New("the message is malformed")
)

// parseHealthAnswer parses the frame of a HealthCheckResponse, whose only field is the status. Of a field that is given
// more than once the last one counts, and fields that are not known are passed over, as the encoding wants it.
func parseHealthAnswer(b []byte) (servingStatus, error) {
	if len(b) < grpcFrame || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-grpcFrame) {
		return 0, errFrame
	}
	if b[0] != 0 {
		return 0, errPacked
	}
	var status servingStatus
	for b = b[grpcFrame:]; len(b) > 0; {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return 0, errMessage
		}
		b = b[n:]
		length := uint64(0)
		switch tag & 7 {
		case wireVarint:
			value, n := binary.Uvarint(b)
			if n <= 0 {
				return 0, errMessage
			}
			if tag>>3 == 1 {
				status = servingStatus(value)
			}
			length = uint64(n)
		case wire64:
			length = 8
		case wire32:
			length = 4
		case wireBytes:
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return 0, errMessage
			}
			length = uint64(n) + size
		default: // groups, which proto3 does not have
			return 0, errMessage
		}
		if length > uint64(len(b)) {
			return 0, errMessage
		}
		b = b[length:]
	}
	return status, nil
}
