package http1

import "bytes"

// maxIdleTimeout is the longest idle timeout that is believed, in seconds: a day.
const maxIdleTimeout = 86400

// IdleTimeout is the number of seconds for which the sender keeps the connection open while it is idle, as it says with
// "Keep-Alive: timeout=5" (RFC 2068 section 19.7.1.1 has the field, and servers use the parameter so). It is 0 where
// the sender says nothing, nothing that can be understood, or something outside 1 to 86400, and where the connection
// does not outlive the response. The first parameter of that name in the first such field counts.
func (r *Response) IdleTimeout() int {
	if !r.KeepAlive {
		return 0
	}
	list := r.Get("Keep-Alive")
	for len(list) > 0 {
		var one []byte
		one, list = nextToken(list)
		name, value, _ := bytes.Cut(one, []byte("="))
		if len(name) == len("timeout") && foldIs(name, "timeout") {
			return idleSeconds(value)
		}
	}
	return 0
}

// idleSeconds reads one to five digits, and nothing else, as a number within the limits; 0 for all others.
func idleSeconds(digits []byte) int {
	if len(digits) == 0 || len(digits) > 5 || !all(digits, charDigit) {
		return 0
	}
	n := 0
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	if n > maxIdleTimeout {
		return 0
	}
	return n
}
