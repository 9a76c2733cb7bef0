package netsim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wavepool/wavepool/netsim"
)

// HTTP/2, here in clear text: both ends write under a lock, and so need eager writes. For TLS the same two wrap what
// crypto/tls and http.Server.ServeTLS get.
func ExampleEagerDial() {
	res := netsim.Run(netsim.Config{Seed: 1, Latency: 10 * time.Millisecond}, func(s *netsim.Sim) {
		var h2 http.Protocols
		h2.SetUnencryptedHTTP2(true)
		server, client := s.Host("server", ""), s.Host("client", "")
		l, err := server.Listen(context.Background(), "tcp", ":80")
		if err != nil {
			panic(err)
		}
		server.Go("http", func(context.Context) {
			proto := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
			srv := http.Server{Handler: proto, Protocols: &h2}
			_ = srv.Serve(netsim.EagerListener(l, 0)) // it ends with the simulation
		})
		web := http.Client{Transport: &http.Transport{DialContext: netsim.EagerDial(client.DialContext, 0), Protocols: &h2}}
		res, err := web.Get("http://server/")
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		fmt.Println(string(body))
	})
	fmt.Println(res.Err)
	// Output:
	// HTTP/2.0
	// <nil>
}
