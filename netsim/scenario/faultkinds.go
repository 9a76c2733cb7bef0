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
func FaultKinds() []FaultKind {
	return []FaultKind{
		{Crash, "A machine loses its power and comes back at the end with nothing running but its services. " +
			"No FIN and no RST: until it is back, peers see silence, and dials wait for their timeout. " +
			"When it is back it answers packets of former connections with RST, which is when idle connections of a pool " +
			"are found to be dead. It is met as a power cut, a kernel panic, or the loss of a virtual machine's host.",
			"{at: 40s, for: 30s, crash: {host: 10.0.0.1}}"},
		{IdleForget, "A middlebox forgets connections that have carried nothing for a while. " +
			"The next packet vanishes, or is answered with RST where reset is set, while both ends hold the connection for open. " +
			"A request on such a pooled connection waits in vain. It is met as NAT gateways and firewalls with idle timeouts: " +
			"350 s at AWS's NAT gateway and network load balancer, 4 minutes by default at Azure's load balancer.",
			"{at: 0s, idle_forget: {between: [proxy, 10.0.0.1], idle: 60s, reset: false}}"},
		{Kill, "A service ends while its machine lives on. " +
			"The kernel closes its connections, with FIN, or RST where bytes were unread, and refuses new ones at once. " +
			"It is the kindest failure, since everybody learns of it. It is met as kill -9, the OOM killer, or a crash of the program.",
			"{at: 40s, for: 5s, kill: {host: 10.0.0.1}}"},
		{Partition, "All packets between two machines vanish, both ways, for old and new connections. " +
			"It differs from silent_drop in name only, so that timelines say what was meant. Dials time out, requests in flight hang, " +
			"and what was sent is sent again when the network is whole, after a retransmission timeout that has doubled each time.",
			"{at: 40s, for: 30s, partition: {between: [proxy, 10.0.0.1]}}"},
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
	}
}
