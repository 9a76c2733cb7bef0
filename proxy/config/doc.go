// Package config is wavepool's production configuration: one strict YAML file, its defaults, and the place of every
// mistake in it.
//
// A Config is plain data. It opens nothing, resolves nothing and starts nothing; the rooms that do are given its parts.
// The same file drives the proxy and the simulator, so a scenario can test the very settings that production runs.
//
// # Map
//
//   - config.go: [Config] and [Listener], [Route], [Admin]: what clients and operators meet.
//   - edge.go: [Edge], whom a listener believes and what one client may take; [AccessLog].
//   - upstream.go: [Upstream] and its parts: pool, health, retry, queue. unavailable.go: [Unavailable]. balance.go: [Hash], the key that some strategies choose by.
//   - defaults.go: [Default], [DefaultListener], [DefaultUpstream], [Config.WithDefaults].
//   - keys.go: the one table that binds each YAML key to its field and range; reading, checking and writing all use it.
//   - check.go: the rules that need more than one field. address.go: hosts, ports and names.
//   - parse.go: [Load], [Parse], [ParseNode], [Config.Validate], [Config.Marshal]; [Sources] of references.
//   - proxy/config/form: the strict reader and writer of YAML forms below all this.
//
// # Promises
//
//   - Every key of the file is honoured or refused. Unknown keys, keys given twice and keys that mean nothing beside
//     another (an HTTP limit on a TCP listener) are mistakes, and the nearest known key is suggested.
//   - All mistakes are listed, in line order, each as file:line: path: message. The error is an [Errors].
//   - [Config.Marshal] writes the effective settings, and parsing them gives an equal Config.
//   - Parsing never panics and never reads more than 4 MiB.
//
// # References
//
// A value, never a key, may hold ${NAME} (a variable of the environment), ${NAME:-default} (for one that is not set or
// empty) and ${file:PATH} (a file of at most 64 KiB without the newline at its end, such as a mounted secret). What comes in is
// data: it may be a word, a number or a duration, and is never read as YAML. A name that is not set is a mistake like any
// other, told with its line. $${ stands for ${ itself. Within braces or brackets YAML wants quotes: {address: "${HOST}:80"}.
// [Load] has the process's environment and its files; [LoadFrom] and [ParseFrom] take what the caller gives.
//
// # Off and default
//
// In the file a key that is left out has its default and the word off switches a limit or a duty off. In Go the zero
// value means the default, applied by [Config.WithDefaults], and [Off] means off; the exceptions, where zero
// itself is off, say so: Admin.Address, Config.AccessLog, Health.Active, Listener.MaxRequestBody and what Edge says of its own
// fields. A list that is off (Retry.On) is empty and not nil.
//
// A Config has no lock. It may be read by many goroutines as long as none changes it.
package config
