package config_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
)

// All mistakes are listed at once, each with its line.
func ExampleParse() {
	_, err := config.Parse("wavepool.yaml", []byte(`
listeners:
  - {address: ":8080", upstream: wbe}
upstreams:
  web:
    backends: [{address: "10.0.0.1:80"}]
    pool: {max_conections: 50, idle_timeout: 30}
`))
	fmt.Println(err)
	// Output:
	// wavepool.yaml:3: listeners[0].upstream: there is no upstream "wbe"; did you mean web?
	// wavepool.yaml:7: upstreams.web.pool.max_conections: unknown key; did you mean max_connections?
	// wavepool.yaml:7: upstreams.web.pool.idle_timeout: want a duration with its unit, such as 250ms or 30s, or the word off; got the bare number 30 (did you mean 30s?)
}

func ExampleLoad() {
	cfg, err := config.Load("../../testdata/configs/three-backends.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	web := cfg.UpstreamNamed("web")
	fmt.Println(cfg.Listeners[0].Address, len(web.Backends), "backends", web.Pool.MaxConnections, "connections to each")
	// Output: :8080 3 backends 50 connections to each
}

// A configuration may be built from flags; fields that are left zero have their defaults.
func ExampleConfig_Validate() {
	cfg := &config.Config{
		Listeners:    []config.Listener{{Address: ":8080", Upstream: "web"}},
		Upstreams:    []config.Upstream{config.DefaultUpstream("web", "10.0.0.1:80", "10.0.0.2:0")},
		DrainTimeout: 100 * time.Hour,
	}
	fmt.Println(cfg.Validate())
	// Output:
	// upstreams.web.backends[1].address: the port must be a number from 1 to 65535; got "0"
	// drain_timeout: must be between 1ms and 24h; got 100h
}

func ExampleConfig_Marshal() {
	cfg := &config.Config{
		Listeners: []config.Listener{{Address: ":5432", Protocol: config.ProtocolTCP, Upstream: "db"}},
		Upstreams: []config.Upstream{config.DefaultUpstream("db", "10.0.0.1:5432")},
	}
	cfg.Upstreams[0].Health.Active = nil
	text, err := cfg.Marshal()
	upToRetry, _, _ := strings.Cut(string(text), "    retry:")
	fmt.Print(upToRetry, err)
	// Output:
	// listeners:
	//   - address: :5432
	//     protocol: tcp
	//     workers: 4
	//     max_connections: 100000
	//     max_connections_per_source: off
	//     upstream: db
	// upstreams:
	//   db:
	//     strategy: peak-ewma
	//     min_zone_percent: 70
	//     subset_size: off
	//     slow_start: off
	//     backends:
	//       - address: 10.0.0.1:5432
	//         weight: 1
	//         priority: 0
	//     protocol: http1
	//     send_proxy: off
	//     pool:
	//       max_connections: 50
	//       min_idle: 0
	//       idle_timeout: 30s
	//       max_lifetime: 30m
	//       lifetime_jitter_percent: 10
	//       validate_after: 1ms
	//       connect_timeout: 5s
	//       min_connect_timeout: 1.5s
	//       max_dials: 16
	//       max_idle: off
	//       max_uses: off
	//       order: recent
	//       trim_every: 5s
	//       predict: off
	//       tcp_user_timeout: off
	//       leak_after: off
	//     health:
	//       active: off
	//       passive:
	//         consecutive_5xx: 5
	//         consecutive_gateway_errors: off
	//         consecutive_failures: 5
	//         base_ejection_time: 30s
	//         max_ejection_time: 5m
	//         ejection_jitter_percent: off
	//         max_ejection_percent: 50
	//       panic_threshold: off
	//       on_no_backend: refuse
	// <nil>
}

func ExampleNearest() {
	fmt.Println(config.Nearest("leastconnections", config.Strategies()))
	fmt.Println(config.Nearest("rand", config.Strategies()))
	fmt.Printf("%q\n", config.Nearest("weighted", config.Strategies()))
	// Output:
	// least-connections
	// random
	// ""
}
