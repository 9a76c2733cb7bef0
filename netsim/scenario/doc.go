// Package scenario runs whole experiments: a production configuration of the proxy, simulated backends and
// clients around it, faults and operations at given times, and expectations. A run is a function of the code, the scenario and
// the seed; its [Verdict] carries the hash of its trace.
//
//	sc, err := scenario.Load("testdata/scenarios/silent-drop.yaml")
//	v, err := scenario.Execute(sc, scenario.Options{})
//	fmt.Print(v.Text())
//
// # Map
//
//   - scenario.go, arrivals.go, distribution.go, fault.go: [Scenario] and its parts, the plain data of a file.
//   - keys.go, values.go, check.go: the strict reader of the file; every mistake is told with its line.
//   - settings.go: what stands for the environment, the files and the names that a production configuration
//     refers to, and what is replaced. random.go: [RandomFaults]. mix.go: what clients ask for, and how.
//   - expect.go, window.go: [Expectation] and its [Window]; metrics.go, units.go: what can be expected, and how it is
//     written; outcome.go, looks.go: how it is computed.
//   - operation.go, operations.go: [Operation], what an operator does to the running proxy, and how it is checked and done.
//   - execute.go, run.go: [Execute], [ExecuteIn], and [Run] for tests; faults.go drives the faults; laws.go checks
//     the conservation laws.
//   - backend.go: the simulated servers; http2.go, http2stream.go: those that speak HTTP/2; protocol.go: which do. client.go,
//     exchange.go: the simulated clients.
//   - verdict.go, figure.go: [Verdict], as JSON and as text, and its [Figure]s.
//   - series.go, report.go, chart.go, explain.go: the run over time, and [Verdict.WriteReport], which draws it and
//     says of each expectation that failed what happened; plot.go: [Verdict.Plot], for a terminal.
//   - shrink.go: [Shrink], which makes a failing scenario smaller. faultkinds.go: the faults in words.
//
// # What a run is
//
// The machines are the proxy (named proxy, 10.0.0.100), one for each host of the backends' addresses, and one
// for each client. The proxy is the code of production with netsim's dialer, listeners and clock; it has no
// admin page, and each of its listeners is at the port that the configuration gives. Its ${NAME} and ${file:PATH}
// come from proxy.env and proxy.files and never from the machine that runs the scenario, and the names of its
// backends from dns, looked up at each dial as in production. [Verdict.Replaced] lists all that. An access log
// is gathered as in production and written to nowhere. The
// files of certificates are replaced too: by ones that an authority of the simulation's own has issued, with Ed25519 keys,
// good at its time, for the names that somebody asks for; and the backends of an upstream with tls speak it, as do the
// clients of a listener with tls, which show a certificate when they are asked. The backends of an upstream with protocol http2
// speak HTTP/2, by ALPN or by prior knowledge, with the services, places, errors and ends of the others; the proxy's
// connections to them take at once what is written (netsim.EagerDial). Clients speak HTTP/1.1, and send for the
// scenario's duration, and the last answers are waited for. Then the proxy drains, the clients close their
// connections, faults that last are ended, and up to five virtual minutes are given to the backends to see the
// ends of their connections.
//
// Each request carries a nonce in the field X-Nonce, which its backend echoes. A request is answered when a
// status of 200 to 399, its own nonce, and the whole body have come within the client's timeout. A client with
// retries makes a failed request again; that stays one request, judged by its last try, and each try has the
// timeout for itself.
//
// Random faults are drawn from the seed before the run and then are like those of the list. A run of a seed that
// draws none has recovered at once.
//
// Clocks that jump are not among the faults. A Go program compares instants by their monotonic reading, which a
// jump does not touch, and the times of a simulation have none: a proxy with netsim's wrong clock would end
// timeouts at instants at which it does not end them in reality. A backend here tells nobody what time it is.
//
// Operations are calls of the proxy's own methods, one after the other, at instants of their own. They are checked against
// the members that the groups will have by then, so that one which the proxy would refuse is a mistake in the file. A
// backend that joins later is simulated from the beginning.
//
// # Expectations
//
// An expectation is METRIC OP VALUE: a figure of the whole run, such as "p99 <= 100ms". Behind the value it may have a
// window, which is a part of the run:
//
//	success_rate >= 99% during             while any fault is in force
//	success_rate >= 99% during cut         while the faults with the name cut are
//	p99 <= 20ms before                     until the first fault begins
//	p99 <= 20ms after                      from the end of the last fault on
//	failed == 0 from 30s to 60s            in whole seconds; "from 30s" goes on to the end
//
// A fault's name is its key name, or its kind (silent_drop); faults of one name are one to a window. A fault of one
// instant (reset) is in force for a second, or until the next fault begins. The time between two faults is in none of
// before, during and after. A request belongs to the window in which
// it began, whenever it ended. What the proxy counts belongs to the window in which it was counted; a window that ends
// with the scenario has also what was counted while the last answers came, and one that ends with a fault of one
// instant may be up to a second late where that fault begins at no whole second. Behind the metric there may be a client,
// whose requests alone are looked at:
//
//	success_rate of web >= 99.9% during    the requests of the client web
//
// Expectations only read: none of them changes the trace.
//
// # Metrics
//
// Of requests, so that they can be told of a window and of a client:
//
//   - requests, answered, failed: the clients' requests; failed is the difference.
//   - success_rate: answered / requests, in percent.
//   - p50, p90, p99, p99.9: nearest-rank quantiles of the time from a request's arrival to its last byte, dial
//     and waiting included, over the requests that were answered. An open loop does not wait for answers, so
//     nothing is omitted.
//   - requests_per_second, answered_per_second: how many there were in a second of the window on average, written as
//     100/s or 30/m.
//   - max_in_flight: the most requests that had begun and not ended at one instant, as their clients see it.
//   - client_retries: tries of clients beyond the first of each request.
//   - wrong_nonce: requests that got somebody else's answer. One of them fails the verdict, expected or not.
//
// Counted by the proxy, of a window but not of a client:
//
//   - reuse_rate: the share of the pools' loans that reused a connection, in percent.
//   - dials, dial_failures: the connections to backends that were begun, and those that failed.
//   - pool_utilization_peak: the greatest share of its max_connections that any backend's pool had lent, in percent;
//     pool_utilization_mean: what all pools together had lent of all their max_connections, on average. Both are what
//     was seen by looks at random instants, ten in a second (fewer when the run is longer than a quarter of an hour),
//     so that a peak between two looks is missed.
//   - queue_waits: attempts that found no idle connection and waited in an upstream's queue, for a dial or for room.
//   - queue_wait_p50, queue_wait_p99, queue_wait_max: for how long those were in an upstream's queue that left it,
//     with a connection or without, of all upstreams together. The proxy counts waits in buckets, so that a figure is up to an
//     eighth too much. A request that finds an idle connection has not waited and does not count; they are
//     0 where nobody waited.
//   - load_spread: how uneven the load is. A backend's share of the answers of its upstream is compared with its fair
//     share, which is that of its weight; load_spread is the greatest difference of any backend, in percent of the
//     fair share: 10% when one of two equal backends gave 55 answers of 100, 100% when one gave none. Few requests are
//     uneven by chance; a backend that is down is uneven by right, so that a window says more than the whole run.
//   - retries: attempts on another backend that the retry policy allowed. repeated: attempts made again because
//     a reused connection was dead, which a client never sees.
//   - retry_amplification: attempts on backends for each request of a client, written as 1.2 or 1.2x; retries,
//     repetitions and attempts that ended with their dial all count.
//
// Of the whole run:
//
//   - time_to_failover: the longest time, over all faults, from a fault's beginning to the end of the last
//     failed request that began while the fault lasted; 0 if none failed. A fault of one instant (reset) is held
//     to last until the next fault.
//   - time_to_recovery: from the end of the last fault that ends until every backend to which a client's
//     listener leads has answered a request again with a status below 500; "never" if one has not, which fails
//     every upper bound.
//   - leaks: connections that the proxy still holds after the drain, and those of backends that are open after
//     the time to settle. A backend with no close_idle_after keeps a connection whose end it was never told:
//     that counts.
//   - conservation: how many conservation laws were broken, at the end or at any whole second: requests in = in
//     flight + answered + failed; attempts begun = in flight + ended; for each pool dials begun = dialling +
//     dialled + failed, and dialled = idle + lent + retired, where no more are open than max_connections, or than were
//     open when a reload made it less. Any such break fails the
//     verdict, expected or not.
//
// # Promises
//
// Equal code, scenario and seed give an equal trace, whatever GOMAXPROCS is and with or without the race
// detector. Every draw comes from a stream of its own entity (a backend's services, those of one of its paths, a
// client's arrivals and what it asks for, one user, one random fault), so that taking a fault or a client away does not change what the others draw.
//
// # Locking law
//
// run.mu guards the outcome and the timeline, generator.mu a client's idle connections, server.mu a backend's
// streams of chance and its list of connections, h2Conn.mu one of those, and gate.mu the line of its requests. They are leaves: none is held over a wait, over I/O, or while another one is
// taken. Goroutines are started by the clock's AfterFunc, each at an instant of its own, and whoever lets
// another one go sleeps for an instant before it goes on. ExecuteIn waits for all of them.
package scenario
