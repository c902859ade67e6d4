//go:build acceptance

package acceptance

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"retort/internal/learn/task"
	"retort/internal/lm/chat"
	"retort/internal/lm/grammar"
	"retort/internal/lm/session"
	"retort/internal/numtest"
)

// workload is a kind of work and its requests.
type workload struct {
	name     string
	requests []session.Request
}

// code is what a programmer asks about: text that the answer repeats with small changes.
const code = `func Sum(values []float64) float64 {
	total := 0.0
	for i := 0; i < len(values); i++ {
		total = total + values[i]
	}
	return total
}

func Mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return Sum(values) / float64(len(values))
}

func Variance(values []float64) float64 {
	mean := Mean(values)
	total := 0.0
	for i := 0; i < len(values); i++ {
		d := values[i] - mean
		total = total + d*d
	}
	return total / float64(len(values))
}
`

// workloads are receipts bound by their schema, chats, and changes of code; greedy, 160 tokens at most.
func workloads(tb testing.TB, receipts int) []workload {
	t, err := task.Load("receipts", numtest.Shared(tb, "data/tasks/receipts"))
	if err != nil {
		tb.Fatal(err)
	}
	schema, err := grammar.Compile(t.Schema)
	if err != nil {
		tb.Fatal(err)
	}
	items, err := t.Items(task.Dev)
	if err != nil {
		tb.Fatal(err)
	}
	var w [3]workload
	w[0].name, w[1].name, w[2].name = "receipts", "chat", "code"
	add := func(i int, text string, g *grammar.Grammar) {
		w[i].requests = append(w[i].requests, session.Request{Messages: []chat.Message{{Role: "user", Content: text}},
			Chat: chat.Options{Thinking: chat.ThinkOff}, Max: 160, Schema: g})
	}
	for _, it := range items[10 : 10+receipts] {
		add(0, t.Prompt(it), schema)
	}
	for _, p := range prompts {
		add(1, p, nil)
	}
	for _, ask := range []string{"Use range loops in this code. Print all of the code again.", "Rename values to xs everywhere and print all of the code again.",
		"Add a doc comment to each function and print all of the code again."} {
		add(2, ask+"\n\n"+code, nil)
	}
	return w[:]
}

// BenchmarkDrafts measures decoding with drafts against decoding without, the same requests in turn, and checks that the
// tokens are the same. RETORT_ROUNDS=3 measures each request so often (the table in docs/log.md). It prints a row a
// workload: the ratio of all decoding time, of the slowest and the fastest request, and what part of the drafts was taken.
func BenchmarkDrafts(b *testing.B) {
	rounds := 1
	fmt.Sscan(os.Getenv("RETORT_ROUNDS"), &rounds)
	for _, s := range subjects {
		b.Run(s.name, func(b *testing.B) {
			host := session.NewHost(runtime.NumCPU())
			defer host.Close()
			m, err := host.Open(b.Context(), numtest.Model(b, s.name), session.Options{Context: 8192})
			if err != nil {
				b.Fatal(err)
			}
			for _, w := range workloads(b, 8) {
				compareDrafts(b, m, w, rounds)
			}
		})
	}
}

func compareDrafts(b *testing.B, m *session.Model, w workload, rounds int) {
	var plain, drafts time.Duration
	var ratios []float64
	tokens, drafted, taken, steps := 0, 0, 0, 0
	for range rounds {
		for i, r := range w.requests {
			r.Plain = true
			want, wantErr := m.Ask(b.Context(), r)
			r.Plain = false
			got, err := m.Ask(b.Context(), r)
			if fmt.Sprint(err) != fmt.Sprint(wantErr) || !slices.Equal(got.Tokens, want.Tokens) {
				b.Errorf("%s %d: with drafts %v (%v), without %v (%v)", w.name, i, got.Tokens, err, want.Tokens, wantErr)
			}
			p, d := want.Timing.Decode, got.Timing.Decode
			plain, drafts = plain+p, drafts+d
			ratios = append(ratios, float64(p)/float64(d))
			tokens, steps = tokens+got.Timing.Decoded, steps+got.Timing.Steps
			drafted, taken = drafted+got.Timing.Drafted, taken+got.Timing.Taken
		}
	}
	name := b.Name()[strings.LastIndex(b.Name(), "/")+1:]
	fmt.Printf("| %s | %s | %d | %.2f | %.2f-%.2f | %.0f %% of %d | %.2f |\n", name, w.name, tokens, plain.Seconds()/drafts.Seconds(),
		slices.Min(ratios), slices.Max(ratios), 100*float64(taken)/float64(max(drafted, 1)), drafted, float64(tokens)/float64(steps))
	b.ReportMetric(plain.Seconds()/drafts.Seconds(), w.name+"-ratio")
}

// BenchmarkPause measures how long a stream of answers pauses while a prompt of 3,500 tokens comes in beside it, and how
// long that prompt takes.
func BenchmarkPause(b *testing.B) {
	for _, s := range subjects {
		b.Run(s.name, func(b *testing.B) {
			host := session.NewHost(runtime.NumCPU())
			defer host.Close()
			m, err := host.Open(b.Context(), numtest.Model(b, s.name), session.Options{Context: 4096})
			if err != nil {
				b.Fatal(err)
			}
			text, err := os.ReadFile(numtest.Shared(b, "data/texts/tinyshakespeare.txt"))
			if err != nil {
				b.Fatal(err)
			}
			long := m.Encode(string(text[:24000]))[:3500]
			stream, err := m.Start(b.Context(), session.Request{Text: "Once upon a time", Max: 3000, IgnoreEnd: true, Plain: true, Logprobs: 1})
			if err != nil {
				b.Fatal(err)
			}
			read := make(chan error, 1) // the prompt is
			begun, last, pause, normal, count := time.Time{}, time.Now(), time.Duration(0), time.Duration(0), 0
			for e := range stream.Events() {
				if e.Kind != session.Logprob {
					continue
				}
				now := time.Now()
				gap := now.Sub(last)
				last = now
				count++
				switch {
				case count < 20: // warm
				case count < 60:
					normal = max(normal, gap)
				case begun.IsZero():
					begun = now
					go func() {
						_, err := m.Ask(b.Context(), session.Request{Tokens: long, Max: 1})
						read <- err
					}()
				default:
					pause = max(pause, gap)
				}
				select {
				case err := <-read:
					if err != nil {
						b.Fatal(err)
					}
					fmt.Printf("| %s | longest pause before %v, beside the prompt %v; %d tokens of the stream meanwhile, prompt read in %v |\n",
						s.name, normal.Round(time.Millisecond), pause.Round(time.Millisecond), count-60, now.Sub(begun).Round(time.Millisecond))
					b.ReportMetric(float64(pause.Milliseconds()), "ms-pause")
					return
				default:
				}
			}
		})
	}
}
