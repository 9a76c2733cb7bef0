package form_test

import (
	"fmt"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// A form binds the keys of a mapping to the fields of a struct, and the same form reads, checks and writes them.
func ExampleForm() {
	var link struct {
		latency time.Duration
		buffer  int
	}
	link.latency = 500 * time.Microsecond // the default: what the file does not give stays
	f := form.Form{
		{Key: "latency", Value: form.Duration(&link.latency, 0, time.Hour)},
		{Key: "buffer", Value: form.Size(&link.buffer, 1<<10, 1<<20)},
	}

	r := form.NewReport("links.yaml")
	form.Read(r, form.Document(r, []byte("buffer: 64KiB\n")), f)
	fmt.Println(link.latency, link.buffer, r.Err())

	r = form.NewReport("links.yaml")
	form.Read(r, form.Document(r, []byte("latncy: 5ms\nbuffer: 64\n")), f)
	fmt.Println(r.Err())
	// Output:
	// 500µs 65536 <nil>
	// links.yaml:1: latncy: unknown key; did you mean latency?
	// links.yaml:2: buffer: must be between 1KiB and 1MiB; got 64
}

func ExampleNearest() {
	fmt.Println(form.Nearest("jiter", []string{"latency", "jitter", "loss"}))
	// Output: jitter
}
