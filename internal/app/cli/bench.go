package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"retort/internal/compute/cpu"
	"retort/internal/compute/limit"
	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/lm/generate"
	"retort/internal/lm/model"
)

type benchOptions struct {
	prompt, gen, depth, repeat, threads int
	cacheType                           string
	json                                bool
	train                               string
	batch, seq, steps                   int
	labelShare                          float64
}

func newBench() *cobra.Command {
	o := &benchOptions{}
	cmd := &cobra.Command{
		Use: "bench MODEL", Short: "Measure prefill, decoding and training speed",
		Long: "Measure tokens a second on random tokens: prefill of -p tokens and decoding of -n, each behind -d tokens of\n" +
			"context, with llama-bench's columns; or training with --train. The share of the limit is that of the memory's\n" +
			"bandwidth (decoding) or of the dot product units (else), measured in the same run.",
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntVarP(&o.prompt, "prompt", "p", 512, "prompt tokens; 0 leaves the test out")
	f.IntVarP(&o.gen, "gen", "n", 128, "generated tokens; 0 leaves the test out")
	f.IntVarP(&o.depth, "depth", "d", 0, "tokens of context before the test")
	f.IntVarP(&o.repeat, "repeat", "r", 5, "repetitions")
	cacheFlag(cmd, &o.cacheType)
	f.StringVar(&o.train, "train", "", "measure training instead: full or lora")
	f.IntVar(&o.batch, "batch", 4, "sequences of a training step")
	f.IntVar(&o.seq, "seq", 512, "tokens of a training sequence")
	f.IntVar(&o.steps, "steps", 5, "training steps that count, after two to warm up")
	f.Float64Var(&o.labelShare, "label-share", 1, "share of the training tokens that carry a label")
	f.BoolVar(&o.json, "json", false, "print JSON")
	threadsFlag(cmd, &o.threads)
	return cmd
}

// benchRow is one line of llama-bench, with the kernels in use.
type benchRow struct {
	Model   string    `json:"model_type"`
	Size    int64     `json:"model_size"`
	Params  int64     `json:"model_n_params"`
	Threads int       `json:"n_threads"`
	Prompt  int       `json:"n_prompt"`
	Gen     int       `json:"n_gen"`
	Depth   int       `json:"n_depth"`
	Avg     float64   `json:"avg_ts"`
	StdDev  float64   `json:"stddev_ts"`
	Samples []float64 `json:"samples_ts"`
	Kernel  string    `json:"kernel"`
	Share   float64   `json:"share_of_limit"`
	CPU     string    `json:"cpu"`
}

func (o *benchOptions) run(ctx context.Context, name string, w, note io.Writer) error {
	if o.prompt < 0 || o.gen < 0 || o.depth < 0 || o.repeat < 1 {
		return usagef("-p, -n and -d count from 0, -r from 1")
	}
	if err := errors.Join(checkThreads(o.threads), checkCacheType(o.cacheType)); err != nil {
		return err
	}
	if o.train != "" {
		return o.runTrain(ctx, name, w)
	}
	if o.prompt+o.gen == 0 {
		return usagef("-p and -n are 0, want one of them above: nothing is left to measure")
	}
	l, err := load(name, o.threads, o.cacheType, 0, false)
	if err != nil {
		return err
	}
	defer l.close()
	if most := l.engine.Model.Config.Context; max(o.prompt, o.gen+1) > most-o.depth {
		return usagef("-p is %d, -n %d and -d %d, want each of the tests in the model's context of %d tokens", o.prompt, o.gen, o.depth, most)
	}
	rows := []benchRow{}
	for _, test := range [][2]int{{o.prompt, 0}, {0, o.gen}} {
		if test[0]+test[1] == 0 {
			continue
		}
		row, err := o.measure(ctx, l, test[0], test[1])
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if o.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(rows)
	}
	fmt.Fprintf(note, "cpu %s, kernels %s\n", rows[0].CPU, rows[0].Kernel)
	return printBench(w, rows)
}

func (o *benchOptions) measure(ctx context.Context, l *loaded, prompt, gen int) (benchRow, error) {
	c := l.engine.Model.Config
	row := benchRow{Model: c.Arch, Threads: o.threads, Prompt: prompt, Gen: gen, Depth: o.depth, Kernel: strings.Join(cpu.Kernels(), " "), CPU: cpu.Name()}
	info, err := describe(l.path)
	if err != nil {
		return row, err
	}
	row.Params, row.Size = info.Parameters, info.Size
	rng := rand.New(rand.NewPCG(1, 2))
	tokens := make([]int32, o.depth+max(prompt, 1))
	for i := range tokens {
		tokens[i] = int32(rng.IntN(c.Vocab))
	}
	for i := -1; i < o.repeat; i++ { // the first is a warm-up
		for k := o.depth; k < len(tokens); k++ { // what is behind the depth is new each time
			tokens[k] = int32(rng.IntN(c.Vocab))
		}
		speed, err := benchPass(ctx, l, tokens, o.depth, gen)
		if err != nil {
			return row, err
		}
		if i >= 0 {
			row.Samples = append(row.Samples, speed)
		}
	}
	row.Avg, row.StdDev = meanDev(row.Samples)
	row.Share, err = o.share(l, row)
	return row, err
}

// share is what part of the machine's limit a test reached: reading memory where tokens come one by one, else
// multiplying.
func (o *benchOptions) share(l *loaded, row benchRow) (share float64, err error) {
	l.worker.Do(func(pool *par.Pool) { share, err = o.shareOf(l.engine.Model, pool, row) })
	return share, err
}

func (o *benchOptions) shareOf(m *model.Model, pool *par.Pool, row benchRow) (float64, error) {
	work := workOf(m)
	if row.Prompt > 0 {
		return row.Avg * 2 * work.blocks / work.peak(pool), nil
	}
	read, err := limit.ReadBandwidth(pool)
	if err != nil {
		return 0, err
	}
	kept := op.CacheBF16
	if o.cacheType == "f32" || m.Float32 {
		kept = op.CacheF32
	}
	cache := float64(m.CacheBytes(row.Depth+row.Gen/2, kept))
	return row.Avg * (work.bytes + cache) / read, nil
}

// benchPass returns how many tokens a second are computed: of a prompt behind its first depth tokens, which are there
// already, or where gen is above 0 of an answer.
func benchPass(ctx context.Context, l *loaded, tokens []int32, depth, gen int) (float64, error) {
	if depth > 0 {
		if _, err := l.engine.Generate(ctx, generate.Request{Prompt: tokens[:depth], Max: 1}); err != nil {
			return 0, err
		}
	}
	res, err := l.engine.Generate(ctx, generate.Request{Prompt: tokens, Max: gen + 1, Plain: true})
	if err != nil {
		return 0, err
	}
	if gen > 0 {
		return rate(res.Decoded, res.Decode.Seconds()), nil
	}
	return rate(len(tokens)-res.Reused, res.Prefill.Seconds()), nil
}

func meanDev(v []float64) (mean, dev float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		dev += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(dev / float64(max(len(v)-1, 1)))
}

func printBench(w io.Writer, rows []benchRow) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "model\tsize\tparams\tthreads\ttest\ttokens/s\tof the limit")
	for _, r := range rows {
		test := fmt.Sprintf("pp%d", r.Prompt)
		if r.Gen > 0 {
			test = fmt.Sprintf("tg%d", r.Gen)
		}
		if r.Depth > 0 {
			test += fmt.Sprintf(" @ d%d", r.Depth)
		}
		fmt.Fprintf(t, "%s\t%.2f MiB\t%.2f M\t%d\t%s\t%.2f ± %.2f\t%.0f %%\n", r.Model, float64(r.Size)/(1<<20), float64(r.Params)/1e6, r.Threads, test, r.Avg, r.StdDev, 100*r.Share)
	}
	return t.Flush()
}
