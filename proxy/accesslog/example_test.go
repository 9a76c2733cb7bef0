package accesslog_test

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/wavepool/wavepool/proxy/accesslog"
)

// stdout is not ours to close.
type stdout struct{ io.Writer }

func (stdout) Close() error { return nil }

func Example() {
	log, err := accesslog.New(accesslog.Config{
		Open:   func() (io.WriteCloser, error) { return stdout{os.Stdout}, nil },
		Fields: []accesslog.Field{accesslog.Method, accesslog.Path, accesslog.Status, accesslog.Total, accesslog.Attempts},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	e := accesslog.Entry{
		Method: []byte("GET"), Path: []byte("/\r\nforged"), Status: 200, Total: 12 * time.Millisecond,
		Attempts: []accesslog.Attempt{
			{Backend: "10.0.0.1:80", Outcome: "backend_reset", Duration: 2 * time.Millisecond},
			{Backend: "10.0.0.2:80", Outcome: "answered", Duration: 9 * time.Millisecond},
		},
	}
	log.Write(&e)
	log.Close()
	// Output:
	// {"method":"GET","path":"/\u000d\u000aforged","status":200,"total":0.012000,"attempts":[{"backend":"10.0.0.1:80","outcome":"backend_reset","duration":0.002000},{"backend":"10.0.0.2:80","outcome":"answered","duration":0.009000}]}
}
