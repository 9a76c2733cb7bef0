package pool

import (
	"runtime"
	"strconv"
)

// place is an address in the program: where a loan was ended. It is one word, and taking it costs a nanosecond, so that
// it can be kept for every loan; zero where the machine offers no such cheap look (see callersPlace).
type place uintptr

// String makes the place readable: a function with its file and line; empty for the zero place.
func (at place) String() string {
	if at == 0 {
		return ""
	}
	f, _ := runtime.CallersFrames([]uintptr{uintptr(at)}).Next()
	return f.Function + "\n\t" + f.File + ":" + strconv.Itoa(f.Line) + "\n"
}
