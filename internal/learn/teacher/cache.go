package teacher

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Cache keeps answers that were paid for, one JSON line each, by the hash of all that decided them. What stands in
// it is never asked again.
type Cache struct {
	f       *os.File
	answers map[string]Cached
}

// Cached is a line of the cache.
type Cached struct {
	Key          string  `json:"key"`
	ID           string  `json:"id"` // of the item
	Sample       int     `json:"sample"`
	Answer       string  `json:"answer"`
	PromptTokens int     `json:"prompt_tokens"`
	CachedTokens int     `json:"cached_tokens"`
	AnswerTokens int     `json:"answer_tokens"`
	TimeMS       float64 `json:"time_ms"`         // its share, as Answer.Time
	Alone        bool    `json:"alone,omitempty"` // nothing else was asked at that time
}

// Key is the hash of what decides an answer: the model, the question as the model is shown it (Form.Sent) and the bound
// on the answer.
func Key(modelSHA256 string, q Question, schema []byte) string {
	b, _ := json.Marshal([]any{modelSHA256, q, string(schema)}) // strings and numbers always marshal
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// OpenCache opens the cache at path, made if it is not there. A last line that a crash tore off is cut away.
func OpenCache(path string) (*Cache, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	c := &Cache{f: f, answers: map[string]Cached{}}
	if err := c.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *Cache) read() error {
	in := bufio.NewReader(c.f)
	whole := int64(0)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			break // what is left has no line break: it is torn, or nothing
		}
		if err != nil {
			return err
		}
		var a Cached
		if err := json.Unmarshal(bytes.TrimSpace(line), &a); err != nil || a.Key == "" {
			return fmt.Errorf("line %d is not an answer: %w", n, errors.Join(err, errNoKey))
		}
		c.answers[a.Key] = a
		whole += int64(len(line))
	}
	if err := c.f.Truncate(whole); err != nil {
		return err
	}
	_, err := c.f.Seek(whole, io.SeekStart)
	return err
}

var errNoKey = errors.New("no key")

// Get returns the answer of key.
func (c *Cache) Get(key string) (Cached, bool) {
	a, ok := c.answers[key]
	return a, ok
}

// Put keeps an answer. Its line is one write: a killed process leaves it whole or torn, never mixed.
func (c *Cache) Put(a Cached) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if _, err := c.f.Write(append(b, '\n')); err != nil {
		return err
	}
	c.answers[a.Key] = a
	return nil
}

// Close makes sure that all is on disk.
func (c *Cache) Close() error { return errors.Join(c.f.Sync(), c.f.Close()) }
