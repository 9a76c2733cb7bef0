// Package wavepool is the root of a load-balancing, connection-pooling reverse proxy and of the network simulator that
// proves it: the very code that carries production bytes also runs in memory, under latency, loss, partitions, resets
// and crashes, in virtual time, from a seed. The root holds no code; it holds the house rules, as tests.
//
// # Map
//
//   - pool: the connections to one backend. lb: which backend next. health: which backends may be chosen.
//   - proxy/http1: the HTTP/1.1 wire. proxy/tunnel: bytes both ways. proxy/config: the YAML file.
//   - proxy/upstream: a named group of backends. proxy: listeners, routes, one request's way through.
//   - netsim: a network in memory. netsim/scenario: a scenario file and its verdict.
//   - cmd/wavepool, cmd/wavesim, cmd/waveload: the proxy, the simulator, the load generator.
//
// Which of these may import which is the table in house_floors_test.go. CONTRIBUTING.md tells the rules in words.
package wavepool
