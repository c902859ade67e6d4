// Package cost turns seconds and tokens into money.
//
// It measures nothing: every figure is arithmetic on what its caller measured and on a dated table of prices that people
// can replace by their own. Open prices.yaml first.
package cost

import (
	"errors"
	"fmt"
	"math"

	_ "embed"

	"github.com/goccy/go-yaml"
)

//go:embed prices.yaml
var builtin []byte

// A Table is a dated list of prices in US dollars.
type Table struct {
	Date    string  `yaml:"date" json:"date"`
	Machine Machine `yaml:"machine" json:"machine"`
	Models  []Price `yaml:"models" json:"models"`
}

// A Machine is what an hour of computing costs. Watts is its draw under load, 0 if not known.
type Machine struct {
	Name    string  `yaml:"name" json:"name"`
	Threads int     `yaml:"threads" json:"threads"`
	Hour    float64 `yaml:"hour" json:"hour"`
	Watts   float64 `yaml:"watts" json:"watts,omitempty"`
	Source  string  `yaml:"source" json:"source,omitempty"`
}

// A Price is what a hosted model asks for a million tokens: read anew, read from the cache, written.
type Price struct {
	Model  string  `yaml:"model" json:"model"`
	Input  float64 `yaml:"input" json:"input"`
	Cached float64 `yaml:"cached" json:"cached"`
	Output float64 `yaml:"output" json:"output"`
	Source string  `yaml:"source" json:"source,omitempty"`
}

// Default is the table that comes with the program.
func Default() Table {
	t, err := Parse(builtin)
	if err != nil {
		panic("cost: prices.yaml: " + err.Error())
	}
	return t
}

// Parse reads a table. Unknown keys and negative prices are refused.
func Parse(text []byte) (t Table, err error) {
	if len(text) > 64<<10 {
		return Table{}, fmt.Errorf("prices: %d bytes, want at most 65536", len(text))
	}
	defer func() {
		// The library has panicked on hostile files.
		if p := recover(); p != nil {
			t, err = Table{}, fmt.Errorf("prices: not readable as YAML: %v", p)
		}
	}()
	if err := yaml.UnmarshalWithOptions(text, &t, yaml.Strict()); err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return Table{}, fmt.Errorf("prices:%d: %s", at.GetToken().Position.Line, at.GetMessage())
		}
		return Table{}, fmt.Errorf("prices: %w", err)
	}
	if t.Date == "" {
		return Table{}, errors.New("prices: no date")
	}
	if !(t.Machine.Hour >= 0) || math.IsInf(t.Machine.Hour, 0) {
		return Table{}, fmt.Errorf("prices: machine.hour: %v, want 0 or more", t.Machine.Hour)
	}
	for _, p := range t.Models {
		if !(p.Input >= 0 && p.Cached >= 0 && p.Output >= 0) || p.Model == "" {
			return Table{}, fmt.Errorf("prices: model %q: %v / %v / %v, want a name and 0 or more", p.Model, p.Cached, p.Input, p.Output)
		}
	}
	return t, nil
}

// Seconds is what a machine of so many dollars an hour costs for that long.
func Seconds(hour, seconds float64) float64 { return hour * seconds / 3600 }

// PerMillion is the price of a million tokens made at a speed, in tokens per second, on a machine that is busy for a share of
// its time.
func PerMillion(hour, tokensPerSecond, busy float64) float64 {
	return 1e6 * hour / (3600 * tokensPerSecond * busy)
}

// SpeedFor is the speed, in tokens per second, from which a busy machine makes tokens for less than a price per million.
func SpeedFor(hour, perMillion float64) float64 { return 1e6 * hour / (3600 * perMillion) }

// BreakEven is after how many items a cost paid once is earned back by a lower price per item. It is not ok where the new price is
// not lower.
func BreakEven(once, before, after float64) (items float64, ok bool) {
	if !(before > after) {
		return 0, false
	}
	return math.Ceil(once / (before - after)), true
}
