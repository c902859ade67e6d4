//go:build !linux

package quant

// Elsewhere the weights lie in the Go heap: in large pieces without pointers, which the collector does not read.

func mapChunk(n int) ([]byte, error) { return make([]byte, n), nil }

func alignHuge(b []byte) []byte { return b }

func unmapChunk([]byte) error { return nil }
