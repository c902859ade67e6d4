package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"retort/internal/learn/cost"
	"retort/internal/learn/task"
)

// A Manifest is manifest.json: all that a report needs beside the predictions. What was not measured stays zero and is not shown.
type Manifest struct {
	Format      int          `json:"format"` // 1
	Task        string       `json:"task"`
	Description string       `json:"description"`
	Generated   string       `json:"generated,omitempty"` // the generator, where no person wrote the data
	Split       string       `json:"split"`
	Exam        []string     `json:"exam,omitempty"` // the items of the exam; predictions of others do not count
	Metric      string       `json:"metric"`         // loose or exact: which figure the verdict goes by
	Fields      []task.Field `json:"fields"`
	Seed        uint64       `json:"seed"`

	Command  []string `json:"command,omitempty"`
	Version  string   `json:"version,omitempty"` // of retort, with its commit
	Go       string   `json:"go,omitempty"`
	Started  string   `json:"started,omitempty"` // RFC 3339
	Finished string   `json:"finished,omitempty"`
	Budget   string   `json:"budget,omitempty"`
	Stopped  string   `json:"stopped,omitempty"` // why the run is not complete; empty if it is

	Machine Machine           `json:"machine"`
	Hashes  map[string]string `json:"hashes,omitempty"` // SHA-256 by what it is of: recipe, data, …
	Models  []Model           `json:"models"`
	Phases  []Phase           `json:"phases"`

	Teaching *Teaching  `json:"teaching,omitempty"`
	Training *Training  `json:"training,omitempty"`
	Prices   cost.Table `json:"prices"`
	Notes    []string   `json:"notes,omitempty"` // sentences for the reader: licences, terms, oddities
}

// A Machine is where the run took place.
type Machine struct {
	CPU     string `json:"cpu"`
	Kernel  string `json:"kernel"` // the implementation chosen, such as avx512vnni
	OS      string `json:"os,omitempty"`
	Threads int    `json:"threads"`
}

// A Model is what stood behind a role.
type Model struct {
	Role    string `json:"role"`
	Name    string `json:"name"`
	SHA256  string `json:"sha256,omitempty"`
	Params  int64  `json:"params,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"`
	Type    string `json:"type,omitempty"` // stored type, such as Q4_K_M
	License string `json:"license,omitempty"`
}

// A Phase is a part of the run over its whole life, resumed or not. Once says that it is part of making the student, and so of what has
// to be earned back.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Once    bool    `json:"once"`
}

// Teaching says how teacher answers became a training set.
type Teaching struct {
	Items        int          `json:"items"`
	Samples      int          `json:"samples"`  // answers per item
	Asked        int          `json:"asked"`    // answers made in this run
	Cached       int          `json:"cached"`   // answers found on disk
	Accepted     int          `json:"accepted"` // items whose answer passed
	PromptTokens int64        `json:"prompt_tokens,omitempty"`
	CachedTokens int64        `json:"cached_tokens,omitempty"`
	AnswerTokens int64        `json:"answer_tokens,omitempty"`
	Verifiers    []task.Count `json:"verifiers,omitempty"`
}

// Training says how the student was made.
type Training struct {
	Examples     int     `json:"examples"`
	LeftOut      int     `json:"left_out,omitempty"` // too long
	Mode         string  `json:"mode"`
	Trained      int64   `json:"trained_params,omitempty"`
	Epochs       int     `json:"epochs"`
	Steps        int     `json:"steps"`
	Tokens       int64   `json:"tokens"`
	LabelTokens  int64   `json:"label_tokens,omitempty"`
	Batch        int     `json:"batch"`
	LearningRate float64 `json:"learning_rate"`
	Schedule     string  `json:"schedule"`
	Memory       int64   `json:"memory_bytes,omitempty"` // as foreseen before it began
}

// ReadManifest reads manifest.json.
func ReadManifest(path string) (*Manifest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Format != 1 {
		return nil, fmt.Errorf("%s: format %d, want 1", path, m.Format)
	}
	if len(m.Fields) == 0 {
		return nil, fmt.Errorf("%s: no fields", path)
	}
	if m.Metric != "loose" && m.Metric != "exact" {
		return nil, fmt.Errorf("%s: metric %q, want loose or exact", path, m.Metric)
	}
	return &m, nil
}

// Write writes the manifest into dir, aside and renamed.
func (m *Manifest) Write(dir string) error {
	m.Format = 1
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return WriteFile(filepath.Join(dir, ManifestFile), append(b, '\n'))
}

func (m *Manifest) model(role string) Model {
	for _, one := range m.Models {
		if one.Role == role {
			return one
		}
	}
	return Model{Role: role, Name: role}
}
