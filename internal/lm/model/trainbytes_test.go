package model_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/learn/train"
	"retort/internal/lm/model"
	"retort/internal/numtest"
)

// anonymous returns RssAnon of this process, in bytes.
func anonymous(b *testing.B) int {
	b.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "RssAnon:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(v), " kB"))
			if err != nil {
				b.Fatal(err)
			}
			return n << 10
		}
	}
	b.Skip("no RssAnon in /proc/self/status")
	return 0
}

// BenchmarkTrainBytes prints what three steps took beside the estimate. One at a time, in a process of its own, so that
// no other has left memory behind: go test -run - -bench TrainBytes/smollm2/lora/recompute=false -benchtime 1x
func BenchmarkTrainBytes(b *testing.B) {
	for _, name := range []string{"stories260k", "smollm2-135m"} {
		b.Run(name, func(b *testing.B) {
			path := stories260k(b)
			if name != "stories260k" {
				path = numtest.Model(b, name)
			}
			for _, lora := range []string{"full", "lora"} {
				b.Run(lora, func(b *testing.B) {
					for _, recompute := range []string{"false", "true"} {
						b.Run("recompute="+recompute, func(b *testing.B) {
							for range b.N {
								measureTrainBytes(b, path, lora == "lora", recompute == "true", 512)
							}
						})
					}
				})
			}
		})
	}
}

// stories260k writes a model of that shape.
func stories260k(b *testing.B) string {
	b.Helper()
	c := model.Config{Arch: "llama", Vocab: 512, Width: 64, Layers: 5, Heads: 8, KVHeads: 4, HeadDim: 8, FFN: 172, Context: 512, Eps: 1e-5, Tied: true,
		Rope: model.RopeConfig{Dim: 8, Theta: 10000, Pairs: true}}
	m, err := model.Fresh(c, 1, tensor.BFloat16)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "stories.gguf")
	if err := m.WriteGGUF(context.Background(), path, c.Metadata("stories"), quant.F16); err != nil {
		b.Fatal(err)
	}
	return path
}

func measureTrainBytes(b *testing.B, path string, lora, recompute bool, tokens int) {
	pool := par.New(2)
	defer pool.Close()
	runtime.GC()
	debug.FreeOSMemory()
	before := anonymous(b)
	o := model.LoadOptions{Train: !lora, Precision: tensor.BFloat16, Pool: pool}
	if lora {
		o.LoRA = &model.LoRAConfig{Rank: 16, Alpha: 32, Seed: 1}
	}
	m, err := model.Load(path, o)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	m.Recompute = recompute
	rng := rand.New(rand.NewPCG(1, 1))
	es := []data.Example{{From: 1}}
	for range tokens + 1 {
		es[0].Tokens = append(es[0].Tokens, rng.Int32N(int32(m.Config.Vocab)))
	}
	run := tensor.NewRun(pool)
	tr, err := train.New(m, &data.Loader{Examples: es, Batch: 1, Tokens: tokens + 1}, run, train.Options{Schedule: optim.Schedule{Kind: "constant", Peak: 1e-4, Steps: 3}, AdamW: optim.DefaultAdamW})
	if err != nil {
		b.Fatal(err)
	}
	most := 0
	done, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			most = max(most, anonymous(b))
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	for !tr.Done() {
		if _, err := tr.Next(); err != nil {
			b.Fatal(err)
		}
	}
	close(done)
	<-stopped
	got, held := m.TrainBytes(tokens), anonymous(b)-before
	b.ReportMetric(float64(got)/1e6, "MB-estimate")
	b.ReportMetric(float64(held)/1e6, "MB-held")
	b.ReportMetric(float64(most-before)/1e6, "MB-most")
	b.ReportMetric(float64(run.Bytes())/1e6, "MB-run")
	b.ReportMetric(float64(m.PassBytes(tokens))/1e6, "MB-pass")
	b.ReportMetric(100*(float64(got)/float64(held)-1), "%-off")
}

// What a Run holds after a step is what the estimate says of the pass: it follows the shape of the model, the
// precision, LoRA and Recompute.
func TestTrainBytesFollowsTheRun(t *testing.T) {
	dense := model.Config{Arch: "qwen3", Vocab: 1000, Width: 128, Layers: 4, Heads: 8, KVHeads: 2, HeadDim: 32, FFN: 352, Context: 512, Eps: 1e-5, QKNorm: true,
		Rope: model.RopeConfig{Dim: 32, Theta: 10000}}
	mixture := model.Config{Arch: "deepseek2", Vocab: 1000, Width: 128, Layers: 3, Heads: 4, KVHeads: 4, HeadDim: 48, FFN: 352, Context: 512, Eps: 1e-5,
		Rope: model.RopeConfig{Dim: 16, Theta: 10000, Pairs: true}, MLA: &model.MLAConfig{QRank: 96, KVRank: 64, Nope: 32, Rope: 16, Value: 32},
		MoE: &model.MoEConfig{Experts: 8, TopK: 2, Shared: 1, FFN: 96, Dense: 1, Groups: 1, Keep: 1, Normalize: true, Scale: 1}}
	const tokens = 200
	for _, c := range []model.Config{dense, mixture} {
		path := filepath.Join(t.TempDir(), "model.gguf")
		fresh, err := model.Fresh(c, 1, tensor.Float32)
		if err != nil {
			t.Fatal(err)
		}
		if err := fresh.WriteGGUF(context.Background(), path, c.Metadata("tiny"), quant.Q8_0); err != nil {
			t.Fatal(err)
		}
		for _, o := range []model.LoadOptions{{Train: true, Precision: tensor.Float32}, {Train: true, Precision: tensor.BFloat16},
			{LoRA: &model.LoRAConfig{Rank: 8, Alpha: 8}, Precision: tensor.Float32}, {LoRA: &model.LoRAConfig{Rank: 8, Alpha: 8}, Precision: tensor.BFloat16}} {
			for _, recompute := range []bool{false, true} {
				m, err := model.Load(path, o)
				if err != nil {
					t.Fatal(err)
				}
				m.Recompute = recompute
				run, e := newRun(t), data.Example{From: 1}
				for i := range tokens + 1 {
					e.Tokens = append(e.Tokens, int32(i*37%c.Vocab))
				}
				tr, err := train.New(m, &data.Loader{Examples: []data.Example{e}, Batch: 1, Tokens: tokens + 1}, run,
					train.Options{Schedule: optim.Schedule{Kind: "constant", Peak: 1e-4, Steps: 1}, AdamW: optim.DefaultAdamW})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tr.Next(); err != nil {
					t.Fatal(err)
				}
				off := float64(m.PassBytes(tokens))/float64(run.Bytes()) - 1
				name := fmt.Sprintf("%s lora=%v precision=%d recompute=%v", c.Arch, o.LoRA != nil, o.Precision, recompute)
				t.Logf("%s: %.1f MB, %+.0f %%", name, float64(run.Bytes())/1e6, 100*off)
				if off < -0.15 || off > 0.25 {
					t.Errorf("%s: the estimate of the pass is %+.0f %% off", name, 100*off)
				}
				m.Close()
			}
		}
	}
}

// A trainable value takes what the optimizer keeps of it.
func TestLearnedBytes(t *testing.T) {
	const n = 100
	a := optim.NewAdamW([]*optim.Group{{Data: make([]float32, n), Grad: make([]float32, n)}}, optim.DefaultAdamW)
	g := a.Groups[0]
	if got := 4 * (len(g.Data) + len(g.Grad) + len(g.M) + len(g.V)); got != n*model.LearnedBytes {
		t.Errorf("AdamW keeps %d bytes of %d values, TrainBytes counts %d a value", got, n, model.LearnedBytes)
	}
}
