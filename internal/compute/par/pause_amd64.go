//go:build !purego

package par

// pause tells the processor that this is a waiting loop: it saves power and leaves the cache line to the writer.
//
//go:noescape
func pause()
