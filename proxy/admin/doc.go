// Package admin is the operators' page of a running proxy: it shows what the rooms below count, and has no behaviour
// and no counters of its own.
//
// [Handler] serves
//
//	/              what there is, as text
//	/status        the server's whole snapshot, as JSON
//	/metrics       how long requests wait in the queues, as a histogram in the text format of Prometheus
//	/events        the last events of every room, oldest first, as text
//	/ready         200 while the server takes requests and some backend is up, 503 otherwise
//	/config        the configuration in force, as YAML
//	/debug/pprof/  the Go runtime's profiles
//
// It must be served only where clients cannot reach it.
package admin
