//go:build !unix

package distill

// lockFolder does nothing where there is no flock.
func lockFolder(string) (release func(), err error) { return func() {}, nil }
