//go:build !amd64 || purego

package par

import "runtime"

// pause yields: without a pause instruction at hand it is the gentlest way to wait.
func pause() { runtime.Gosched() }
