package upstream

// Operation names a change of a running group, in events of the kind KindOperation. The list is closed.
type Operation uint8

// The operations.
const (
	// OpAdd: a backend was added, and may be picked.
	OpAdd Operation = iota
	// OpRemove: a backend was removed; it gets nothing new, and what it has lent comes back first. KindGone follows.
	OpRemove
	// OpDrain: a backend gets nothing new until OpUndrain.
	OpDrain
	// OpUndrain: a backend may be picked again, if health admits it.
	OpUndrain
	// OpReweight: the weight of a backend was changed.
	OpReweight
	// OpReload: the configuration was changed as a whole.
	OpReload

	// NumOperations is the number of operations.
	NumOperations = int(iota)
)

var operationWords = [NumOperations]string{
	OpAdd:      "add_backend",
	OpRemove:   "remove_backend",
	OpDrain:    "drain_backend",
	OpUndrain:  "undrain_backend",
	OpReweight: "set_weight",
	OpReload:   "reload",
}

// String returns the operation's word.
func (o Operation) String() string {
	if int(o) < NumOperations {
		return operationWords[o]
	}
	return "unknown"
}

// Operations returns the closed list, in order.
func Operations() []Operation {
	all := make([]Operation, NumOperations)
	for i := range all {
		all[i] = Operation(i)
	}
	return all
}
