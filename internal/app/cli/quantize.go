package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
)

type quantizeOptions struct {
	mixture string
	threads int
}

func newQuantize() *cobra.Command {
	o := &quantizeOptions{}
	cmd := &cobra.Command{
		Use: "quantize SRC DST.gguf --type TYPE", Short: "Store a model in fewer bits",
		Long: "Write the model SRC as DST with its matrices stored as TYPE: q8_0, q6_k, q5_k_m, q4_k_m, q4_0, f16, bf16, f32 and\n" +
			"others. The types are mixed as llama.cpp does. SRC is best stored in 16 bits or more.",
		Example: "retort quantize student-f16.gguf student-q4_k_m.gguf --type q4_k_m",
		Args:    arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], args[1], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.mixture, "type", "", "how to store the matrices")
	threadsFlag(cmd, &o.threads)
	return cmd
}

func (o *quantizeOptions) run(ctx context.Context, name, dst string, w, progress io.Writer) error {
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	if o.mixture == "" {
		return usagef("--type is missing")
	}
	mix, err := findMixture(o.mixture)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(dst, ".gguf") {
		return usagef("DST is %q, want a name that ends in .gguf", dst)
	}
	src, err := resolve(name)
	if err != nil {
		return err
	}
	return requantize(ctx, src, dst, mix, o.threads, w, progress)
}

// checkPlace refuses to write the model src to dst where that is the source itself or has no folder to be in.
func checkPlace(src, dst string) error {
	if _, err := os.Stat(filepath.Dir(dst)); err != nil {
		return fmt.Errorf("no folder for %s: %w", dst, err)
	}
	from, err := os.Stat(src)
	if err != nil {
		return err
	}
	if to, err := os.Stat(dst); err == nil && os.SameFile(from, to) {
		return usagef("DST %s is SRC itself", dst)
	}
	return nil
}

// requantize writes the model src as the GGUF file dst, tensor by tensor, each with all workers.
func requantize(ctx context.Context, src, dst string, mix mixture, threads int, w, progress io.Writer) error {
	if err := checkPlace(src, dst); err != nil {
		return err
	}
	s, err := openSource(src)
	if err != nil {
		return err
	}
	defer s.Close()
	out, err := gguf.Create(dst)
	if err != nil {
		return err
	}
	defer out.Abort()
	for key, v := range s.md.All() {
		if !strings.HasPrefix(key, "split.") { // parts become one file
			out.Set(key, v)
		}
	}
	out.Set("general.quantization_version", gguf.ValueOf(uint32(2)))
	pool := par.New(threads)
	defer pool.Close()
	bar := newProgress(progress)
	bar.bytes = true
	defer bar.done()
	total, done, twice := 0, 0, int64(0)
	for _, name := range s.Names() {
		t, _ := s.Tensor(name)
		total += len(t.Data)
		want := mix.storedAs(t, s.layout)
		if want != t.Type && !t.Type.Known() {
			return fmt.Errorf("%s: %s is stored as %v, which cannot be decoded", src, name, gguf.Type(t.Type))
		}
		if want != t.Type && t.Type.BlockSize() > 1 {
			twice += int64(len(t.Data))
		}
		dims := make([]int, len(t.Dims))
		for i, d := range t.Dims {
			dims[len(dims)-1-i] = d
		}
		out.Add(name, gguf.Type(want), dims, func(dst io.Writer) error {
			t, _ := s.Tensor(name) // again: some sources make it anew, and one at a time is enough
			r := recoder{from: t.Type, to: want, row: dims[0], data: t.Data, pool: pool, told: func(n int) { bar.set("write", done+n, total, name) }}
			err := r.write(ctx, dst)
			done += len(t.Data)
			return err
		})
	}
	out.Set("general.file_type", gguf.ValueOf(mix.fileType(s)))
	if twice > 0 {
		bar.say(fmt.Sprintf("note: %s of the source are quantized already; rounding twice costs quality", byteText(twice)))
	}
	if err := out.Commit(ctx); err != nil {
		return err
	}
	bar.done()
	return summarize(w, src, dst)
}

// summarize compares two files.
func summarize(w io.Writer, paths ...string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, path := range paths {
		info, err := describe(path)
		if err != nil {
			return err
		}
		var types []string
		for _, s := range info.Tensors {
			types = append(types, fmt.Sprintf("%d %s", s.Count, s.Type))
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f bits a weight\t%s\n", path, byteText(info.Size), 8*float64(info.Size)/float64(max(info.Parameters, 1)), strings.Join(types, ", "))
	}
	return t.Flush()
}

// recoder writes a tensor in another type.
type recoder struct {
	from, to quant.Type
	row      int // weights
	data     []byte
	pool     *par.Pool
	told     func(done int) // bytes of the source

	out     []byte // of the rows at hand
	lo, hi  int    // rows at hand
	scratch [][]float32
	errs    []error
}

// chunkWeights is how many weights are encoded before they are written: enough for all workers, few enough that a
// cancelled run ends soon.
const chunkWeights = 1 << 20

func (r *recoder) write(ctx context.Context, dst io.Writer) error {
	if r.from == r.to {
		return r.copy(ctx, dst)
	}
	rows := len(r.data) / r.from.RowBytes(r.row)
	step := max(1, chunkWeights/r.row)
	r.scratch, r.errs = make([][]float32, r.pool.Threads()), make([]error, r.pool.Threads())
	for i := range r.scratch {
		r.scratch[i] = make([]float32, r.row)
	}
	for r.lo = 0; r.lo < rows; r.lo = r.hi {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.hi = min(r.lo+step, rows)
		r.out = append(r.out[:0], make([]byte, (r.hi-r.lo)*r.to.RowBytes(r.row))...)
		r.pool.Run(r, r.hi-r.lo)
		for _, err := range r.errs {
			if err != nil {
				return err
			}
		}
		if _, err := dst.Write(r.out); err != nil {
			return err
		}
		r.told(r.hi * r.from.RowBytes(r.row))
	}
	return nil
}

// Part encodes one row.
func (r *recoder) Part(i, worker int) {
	from, to := r.from.RowBytes(r.row), r.to.RowBytes(r.row)
	values := r.scratch[worker]
	quant.Decode(r.from, values, r.data[(r.lo+i)*from:(r.lo+i+1)*from])
	if err := quant.Encode(r.to, r.out[i*to:(i+1)*to], values); err != nil {
		r.errs[worker] = err
	}
}

// copy writes the tensor as it is, of whatever type.
func (r *recoder) copy(ctx context.Context, dst io.Writer) error {
	const chunk = 4 << 20
	for at := 0; at < len(r.data); at += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(at+chunk, len(r.data))
		if _, err := dst.Write(r.data[at:end]); err != nil {
			return err
		}
		r.told(end)
	}
	return nil
}
