// Package models holds the weights that come with the program: the demo's teacher and its untrained student, both
// made by retort train from the configs beside them. See README.md.
package models

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"

	"retort/internal/format/gguf"
)

//go:embed ledger/teacher.gguf
var ledgerTeacher []byte

//go:embed ledger/base.gguf
var ledgerBase []byte

// LedgerTeacher opens the teacher of the ledger task and returns the SHA-256 of its file.
func LedgerTeacher() (*gguf.File, string, error) { return open("ledger/teacher.gguf", ledgerTeacher) }

// LedgerBase opens the student of the ledger task before it has learned.
func LedgerBase() (*gguf.File, string, error) { return open("ledger/base.gguf", ledgerBase) }

func open(name string, data []byte) (*gguf.File, string, error) {
	f, err := gguf.Parse(name, data)
	sum := sha256.Sum256(data)
	return f, hex.EncodeToString(sum[:]), err
}
