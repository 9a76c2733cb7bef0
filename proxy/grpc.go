package proxy

import (
	"strings"

	"github.com/wavepool/wavepool/proxy/upstream"
)

// A call of gRPC that has failed is an answer with HTTP status 200: its own status stands in the trailers, or, where the answer is
// nothing else ("Trailers-Only" in gRPC's description of itself over HTTP/2), in its only head. So health would hear of a success.
// gRPC is HTTP/2, and an answer of HTTP/1.1 is not looked at.
//
// What counts are the statuses by which a server speaks of itself, with the HTTP statuses that Envoy has for them:
//
//	UNAVAILABLE (14)                           as 503, a gateway error
//	UNKNOWN (2), INTERNAL (13), DATA_LOSS (15) as 500
//
// Others are about the call: DEADLINE_EXCEEDED (4), though Envoy takes it for 504, since the client has set that deadline, and one that sets
// none but short ones must not have every backend ejected; UNIMPLEMENTED (12), Envoy's 501, since the client has named the method;
// RESOURCE_EXHAUSTED (8), mostly a quota of the client's, and 429 there as well. A status that is missing or not defined says nothing.

// grpcOutcomes is indexed by the status of a call. All others have the zero, OutcomeAnswered.
var grpcOutcomes = [...]upstream.Outcome{
	2:  upstream.OutcomeAnswered5xx,  // UNKNOWN
	13: upstream.OutcomeAnswered5xx,  // INTERNAL
	14: upstream.OutcomeGatewayError, // UNAVAILABLE
	15: upstream.OutcomeAnswered5xx,  // DATA_LOSS
}

// outcomeOfGRPC is what the text of a status says of a backend.
func outcomeOfGRPC(status []byte) upstream.Outcome {
	code := 0
	for _, d := range status {
		if d < '0' || d > '9' {
			return upstream.OutcomeAnswered
		}
		if code = 10*code + int(d-'0'); code >= len(grpcOutcomes) {
			return upstream.OutcomeAnswered
		}
	}
	return grpcOutcomes[code]
}

// isGRPC says whether a media type is that of gRPC, in whatever encoding of messages. It is not that of gRPC-Web.
func isGRPC(contentType []byte) bool {
	const want = "application/grpc"
	if len(contentType) < len(want) || !equalFold(contentType[:len(want)], want) {
		return false
	}
	rest := contentType[len(want):]
	return len(rest) == 0 || strings.IndexByte("+; \t", rest[0]) >= 0
}

// hear notes what the head of the final answer says of the backend, and reports whether its end may say something else.
func (c *httpConn) hear(b *backend) (trails bool) {
	c.heard = outcomeOf(c.resp.Status)
	if b.stream == nil || c.resp.Status != 200 || !isGRPC(c.resp.Get("Content-Type")) {
		return false
	}
	c.heard = outcomeOfGRPC(c.resp.Get("Grpc-Status"))
	return true
}

// hearEnd is what an answer that has come to its end says of the backend.
func (c *httpConn) hearEnd(b *backend, trails bool) upstream.Outcome {
	if !trails {
		return c.heard
	}
	for _, t := range b.body.Trailers() {
		if equalFold(t.Name, "grpc-status") {
			return outcomeOfGRPC(t.Value)
		}
	}
	return c.heard
}
