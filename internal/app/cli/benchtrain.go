package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"retort/internal/compute/limit"
	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/learn/train"
	"retort/internal/lm/model"
)

// trainResult is what bench --train measures.
type trainResult struct {
	TPS     float64 `json:"train_tps"`      // tokens a second, forward, backward and optimizer; the median step's
	Share   float64 `json:"share_of_limit"` // of the dot product units, recomputed activations not counted
	Bytes   int64   `json:"bytes"`          // of anonymous memory that training took
	Mode    string  `json:"mode"`
	Batch   int     `json:"batch"`
	Seq     int     `json:"seq"`
	Threads int     `json:"n_threads"`
	Loss    float64 `json:"loss"` // of the last step: random tokens, so near the logarithm of the vocabulary or above
}

const warmUpSteps = 2

func (o *benchOptions) runTrain(ctx context.Context, name string, w io.Writer) error {
	switch {
	case o.train != "full" && o.train != "lora":
		return usagef("--train is %q, want full or lora", o.train)
	case o.batch < 1 || o.seq < 1 || o.steps < 1:
		return usagef("--batch, --seq and --steps count from 1")
	case !(o.labelShare > 0 && o.labelShare <= 1):
		return usagef("--label-share is %g, want above 0 to 1", o.labelShare)
	}
	path, err := resolve(name)
	if err != nil {
		return err
	}
	pool := par.New(o.threads)
	defer pool.Close()
	opts := model.LoadOptions{Train: o.train == "full", Precision: tensor.BFloat16, Pool: pool}
	if !opts.Train {
		opts.LoRA = &model.LoRAConfig{Rank: 16, Alpha: 32, Seed: 1}
	}
	m, err := model.Load(path, opts)
	if err != nil {
		return err
	}
	defer m.Close()
	res, err := o.measureTrain(ctx, m, pool)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(w).Encode(res)
	}
	_, err = fmt.Fprintf(w, "%s training, %d x %d tokens: %.1f tokens/s, %.0f %% of the limit, %s of memory\n", res.Mode, res.Batch, res.Seq, res.TPS, 100*res.Share, byteText(res.Bytes))
	return err
}

// measureTrain trains m on random tokens and returns the median step's speed.
func (o *benchOptions) measureTrain(ctx context.Context, m *model.Model, pool *par.Pool) (trainResult, error) {
	res := trainResult{Mode: o.train, Batch: o.batch, Seq: o.seq, Threads: o.threads}
	steps := warmUpSteps + o.steps
	loader := &data.Loader{Examples: o.randomExamples(m.Config.Vocab), Batch: o.batch, Tokens: o.batch * o.seq, Seed: 1}
	schedule := optim.Schedule{Kind: "constant", Peak: 1e-5, Steps: steps}
	train.Fit(m, loader)
	t, err := train.New(m, loader, tensor.NewRun(pool), train.Options{Schedule: schedule, AdamW: optim.DefaultAdamW})
	if err != nil {
		return res, err
	}
	defer t.Close()
	var times []float64
	for i := range steps {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		start := time.Now()
		line, err := t.Next()
		if err != nil {
			return res, err
		}
		if res.Loss = line.Loss; i >= warmUpSteps {
			times = append(times, time.Since(start).Seconds())
		}
	}
	slices.Sort(times)
	tokens := float64(o.batch * o.seq)
	res.TPS = tokens / times[len(times)/2]
	res.Bytes = anonymousBytes()
	work := workOf(m)
	flop := 6.0 // a weight: 2 forward, 2 for the gradient of activations and 2 for its own
	if o.train == "lora" {
		flop = 4
	}
	res.Share = res.TPS * flop * (work.blocks + work.head*o.labelShare) / limit.BF16(pool)
	return res, nil
}

// randomExamples are two steps' worth of sequences whose last tokens carry labels.
func (o *benchOptions) randomExamples(vocab int) []data.Example {
	rng := rand.New(rand.NewPCG(1, 2))
	labels := max(1, int(float64(o.seq)*o.labelShare+0.5))
	out := make([]data.Example, 2*o.batch)
	for i := range out {
		tokens := make([]int32, o.seq+1)
		for k := range tokens {
			tokens[k] = int32(rng.IntN(vocab))
		}
		out[i] = data.Example{Tokens: tokens, From: o.seq + 1 - labels}
	}
	return out
}

// anonymousBytes is the memory of this process that no file backs, as Linux tells it; elsewhere what the runtime took.
func anonymousBytes() int64 {
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "RssAnon:" {
				if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					return kb << 10
				}
			}
		}
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}
