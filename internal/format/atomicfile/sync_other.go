//go:build !unix

package atomicfile

// SyncDir makes the names in a folder durable; where folders cannot be synced, as on Windows, it does nothing.
func SyncDir(string) error { return nil }
