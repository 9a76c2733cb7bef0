//go:build gc && (amd64 || arm64)

package pool

// callersPlace is the place to which the calling function will return: where it was called from. It follows the
// frame pointer, which the compiler keeps on these machines, because a look with runtime.Callers costs more than a whole
// loan. Its caller must not be inlined.
func callersPlace() place
