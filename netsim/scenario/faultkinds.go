package scenario

// FaultKind describes one kind of fault for people.
type FaultKind struct {
	// Name is the key in the file.
	Name string
	// About says what it does to the network, what programs see of it, and where it is met. Its first sentence stands by
	// itself.
	About string
	// Example is one line of a scenario's list of faults.
	Example string
}

// FaultKinds describes every kind of fault, in the order of their names. The slice is the caller's own.
func FaultKinds() []FaultKind { return append(kindsToGoAway(), kindsFromIdleForget()...) }

// kindsToGoAway is the first half of the alphabet.
func kindsToGoAway() []FaultKind {
	return []FaultKind{
		{Clog, "Packets between two machines are held back, and all let go at the end. " +
			"Nothing is lost and nothing is reset: whoever waits long enough gets everything, late and at once. Senders whose packets are " +
			"not acknowledged give up in their usual time. It is met as a link that fails over, a virtual machine that is moved to another " +
			"host, or a garbage collector's pause of a middlebox.",
			"{at: 40s, for: 3s, clog: {between: [proxy, 10.0.0.1]}}"},
		{ConntrackLoss, "A middlebox forgets all connections of one moment, and passes new ones. " +
			"Packets of the old ones vanish, or are answered with RST where reset is set, until the fault ends. Every pooled connection " +
			"is dead and looks healthy. It is met as the failover of a pair of firewalls that do not share their tables, a reloaded " +
			"packet filter, or a Kubernetes node whose conntrack entries were flushed.",
			"{at: 40s, for: 30s, conntrack_loss: {between: [proxy, 10.0.0.1], reset: false}}"},
		{Crash, "A machine loses its power and comes back at the end with nothing running but its services. " +
			"No FIN and no RST: until it is back, peers see silence, and dials wait for their timeout. " +
			"When it is back it answers packets of former connections with RST, which is when idle connections of a pool " +
			"are found to be dead. It is met as a power cut, a kernel panic, or the loss of a virtual machine's host.",
			"{at: 40s, for: 30s, crash: {host: 10.0.0.1}}"},
		{DNSChange, "A name has other addresses while the fault lasts: new ones, old ones, or those of nobody. " +
			"The proxy looks a name up at each dial. Connections that are open stay where they are, so a pool follows slowly, or, as long as its " +
			"connections live, not at all. It is met as a failover by DNS, a stale record in a resolver's cache, or a wrong one that was deployed.",
			"{at: 40s, for: 30s, dns_change: {name: api.internal, addresses: [10.0.0.2]}}"},
		{DNSFail, "Lookups of a name fail: by an error at once, or by silence. " +
			"Connections that are open go on, and nobody can dial. With servfail and no_such_host the dial fails at once; with timeout it hangs " +
			"until its own timeout, or for 10 s. It is met as an overloaded or lost name server, or a record that was deleted.",
			"{at: 40s, for: 30s, dns_fail: {name: api.internal, how: timeout}}"},
		{DNSSlow, "Every lookup of a name takes its time. " +
			"Dials take that much longer, and those with less patience fail; requests on open connections see nothing of it. It is met as a " +
			"resolver that asks a far one, or whose first server does not answer.",
			"{at: 40s, for: 30s, dns_slow: {latency: 800ms}}"},
		{Drip, "Bytes between two machines arrive a few at a time. " +
			"Everything comes, slowly: a head of some hundred bytes takes seconds. Timeouts that count from byte to byte never fire, and " +
			"connections are held for as long as the peer likes. It is met as a mobile client at the edge of its cell, or a slowloris attack.",
			"{at: 40s, for: 20s, drip: {between: [proxy, 10.0.0.1], bytes_per_second: 500}}"},
		{GoAway, "A backend says GOAWAY on each of its HTTP/2 connections. " +
			"What it has taken it still answers, and then it closes; what has reached it later, or is on its way, it does not look at, and " +
			"the number in the GOAWAY says so: such a request may be made again elsewhere whatever its method. New connections are welcome. " +
			"It is met as a server's graceful end or its reload, and as the age or the count of requests at which servers and " +
			"load balancers end a connection so that the load spreads anew.",
			"{at: 40s, goaway: {host: 10.0.0.1}}"},
	}
}

// kindsFromIdleForget is the second half.
func kindsFromIdleForget() []FaultKind {
	return []FaultKind{
		{IdleForget, "A middlebox forgets connections that have carried nothing for a while. " +
			"The next packet vanishes, or is answered with RST where reset is set, while both ends hold the connection for open. " +
			"A request on such a pooled connection waits in vain. It is met as NAT gateways and firewalls with idle timeouts: " +
			"350 s at AWS's NAT gateway and network load balancer, 4 minutes by default at Azure's load balancer.",
			"{at: 0s, idle_forget: {between: [proxy, 10.0.0.1], idle: 60s, reset: false}}"},
		{Kill, "A service ends while its machine lives on. " +
			"The kernel closes its connections, with FIN, or RST where bytes were unread, and refuses new ones at once. " +
			"It is the kindest failure, since everybody learns of it. It is met as kill -9, the OOM killer, or a crash of the program.",
			"{at: 40s, for: 5s, kill: {host: 10.0.0.1}}"},
		{NoAccept, "A service accepts no connection any more, and serves those that it has. " +
			"The kernel completes handshakes for it until the backlog is full, so dials succeed at once and then nothing comes: " +
			"a check that only connects passes. Beyond the backlog SYNs are dropped, and dials time out. It is met as an event loop whose " +
			"accepting thread is stuck, or a process out of file descriptors.",
			"{at: 40s, for: 20s, no_accept: {host: 10.0.0.1}}"},
		{Partition, "All packets between two machines vanish, both ways, for old and new connections. " +
			"It differs from silent_drop in name only, so that timelines say what was meant. Dials time out, requests in flight hang, " +
			"and what was sent is sent again when the network is whole, after a retransmission timeout that has doubled each time.",
			"{at: 40s, for: 30s, partition: {between: [proxy, 10.0.0.1]}}"},
		{PartitionOneWay, "Packets from the first machine to the second vanish, and those of the other way arrive. " +
			"Requests of one side are never seen, or their answers never come, while the other side's handshakes and data still arrive: " +
			"both ends disagree about who is there. It is met as a broken fibre of a pair, a wrong route of one direction, or a firewall rule.",
			"{at: 40s, for: 30s, partition_one_way: {between: [proxy, 10.0.0.1]}}"},
		{Pause, "A service stands still, as after SIGSTOP, while its kernel goes on. " +
			"Handshakes succeed into the backlog, requests are acknowledged into the receive window, and nothing is answered until the end; " +
			"then everything goes on in order. A check that only connects passes. It is met as a long pause of a garbage collector, " +
			"swapping, a frozen virtual machine, or a debugger.",
			"{at: 40s, for: 8s, pause: {host: 10.0.0.1}}"},
		{Refuse, "A machine answers dials with RST: connection refused. " +
			"Connections that are open go on. It is met as a service that restarts, a full backlog with tcp_abort_on_overflow, or a " +
			"firewall that rejects.",
			"{at: 40s, for: 10s, refuse: {host: 10.0.0.1, port: 80}}"},
		{Reset, "Every connection between two machines is reset at one instant. " +
			"Requests in flight break off, and idle connections of a pool are dead without having been told a word by their peer. " +
			"It is met as the failover of a stateful firewall, or a load balancer that drops its table.",
			"{at: 40s, reset: {between: [proxy, 10.0.0.1]}}"},
		{SilentDrop, "All packets between two machines vanish: no reset, no error, only silence. " +
			"Every pooled connection still looks healthy, and a request cannot tell silence from a slow answer. " +
			"It is met as a misconfigured firewall, a dying switch port, or a machine that hangs.",
			"{at: 40s, for: 30s, silent_drop: {between: [proxy, 10.0.0.1]}}"},
		{Slow, "Packets between two machines take longer, spread more, or are lost and sent again. " +
			"Loss is delay here: a lost packet costs a retransmission timeout of 200 ms or more, and never a byte. " +
			"It is met as a saturated link, a failing cable, or a route through another continent.",
			"{at: 40s, for: 30s, slow: {between: [proxy, 10.0.0.1], latency: 200ms, jitter: 50ms, loss: 1%}}"},
		{Unreachable, "Packets between two machines vanish, and a router says so. " +
			"Dials fail at once with EHOSTUNREACH, and connections that give up do so with it instead of a timeout. It is met as a route that " +
			"was withdrawn, or a host whose neighbour entry has expired.",
			"{at: 40s, for: 30s, unreachable: {between: [proxy, 10.0.0.1]}}"},
	}
}
