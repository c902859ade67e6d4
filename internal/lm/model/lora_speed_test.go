package model_test

import (
	"math/rand/v2"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/learn/train"
	"retort/internal/lm/model"
	"retort/internal/numtest"
)

// BenchmarkLoRAStep is a training step of 512 tokens, all labelled.
func BenchmarkLoRAStep(b *testing.B) {
	pool := par.New(2)
	defer pool.Close()
	m, err := model.Load(numtest.Model(b, "smollm2-135m"), model.LoadOptions{Precision: tensor.BFloat16, Pool: pool, LoRA: &model.LoRAConfig{Rank: 16, Alpha: 32, Seed: 1}})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	es := []data.Example{{From: 1}}
	for range 513 {
		es[0].Tokens = append(es[0].Tokens, rng.Int32N(int32(m.Config.Vocab)))
	}
	tr, err := train.New(m, &data.Loader{Examples: es, Batch: 1, Tokens: 513}, tensor.NewRun(pool), train.Options{Schedule: optim.Schedule{Kind: "constant", Peak: 1e-4, Steps: 1 << 20}, AdamW: optim.DefaultAdamW})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := tr.Next(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := tr.Next(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(512*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
