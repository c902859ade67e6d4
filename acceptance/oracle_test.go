//go:build acceptance

// Package acceptance holds Retort to llama.cpp on real models: greedy text, logits and perplexity.
//
//	RETORT_LLAMACPP=DIR go test -tags acceptance -v ./acceptance
//
// DIR holds node_modules with node-llama-cpp, llamacpp.mjs and llbench, as shared/oracle/README.md makes them; the models
// are found as package numtest finds them. Open agreement_test.go first.
package acceptance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// oracle is llama.cpp in a folder.
type oracle struct{ dir string }

func findOracle(t *testing.T) oracle {
	t.Helper()
	dir := os.Getenv("RETORT_LLAMACPP")
	if dir == "" {
		t.Skip("RETORT_LLAMACPP names no folder with llama.cpp")
	}
	return oracle{dir}
}

// greedy returns the next n greedy tokens after ids, fewer where the model ends.
func (o oracle) greedy(t *testing.T, model string, n int, ids []int32) []int32 {
	t.Helper()
	out := run(t, exec.Command("node", append([]string{filepath.Join(o.dir, "llamacpp.mjs"), "greedy", model, strconv.Itoa(n)}, words(ids)...)...))
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	var tokens []int32
	for _, w := range strings.Fields(lines[len(lines)-1]) {
		id, err := strconv.Atoi(w)
		if err != nil {
			t.Fatalf("llama.cpp's greedy tokens are %q", out)
		}
		tokens = append(tokens, int32(id))
	}
	return tokens
}

var nllLine = regexp.MustCompile(`(?m)^nll (\S+) over (\d+)`)

// logits returns llama.cpp's logits of every row of ids, [ids, vocab], where vocab is not 0, and the mean negative
// log-likelihood of ids from the second one on.
func (o oracle) logits(t *testing.T, model string, ids []int32, vocab int) (rows [][]float32, nll float64) {
	t.Helper()
	args := []string{"-L", filepath.Join(o.dir, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"), "-m", model, "-ids", strings.Join(words(ids), " "), "-ctk", "f32", "-t", "1"} // its threads spin at barriers: on a busy machine two are slower than one
	file := filepath.Join(t.TempDir(), "logits.f32")
	if vocab > 0 {
		args = append(args, "-logits", file)
	}
	out := run(t, exec.Command(filepath.Join(o.dir, "llbench"), args...))
	if m := nllLine.FindSubmatch(out); m != nil {
		nll, _ = strconv.ParseFloat(string(m[1]), 64)
	} else if len(ids) > 1 {
		t.Fatalf("llbench says no nll: %q", out[max(0, len(out)-200):])
	}
	if vocab == 0 {
		return nil, nll
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != 4*len(ids)*vocab {
		t.Fatalf("llbench wrote %d bytes of logits, want %d rows of %d", len(b), len(ids), vocab)
	}
	for at := 0; at < len(b); at += 4 * vocab {
		row := make([]float32, vocab)
		for i := range row {
			row[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[at+4*i:]))
		}
		rows = append(rows, row)
	}
	return rows, nll
}

func words(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = fmt.Sprint(id)
	}
	return out
}

func run(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args[:2], " "), err, stderr.Bytes())
	}
	return out
}
