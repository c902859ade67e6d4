package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"
	"unsafe"

	"retort/internal/format/safetensors"
)

// CheckpointName is the newest checkpoint of a run, in one file that is replaced whole: the parameters as p/NAME,
// the optimizer's moments as m/NAME and v/NAME, all float32, and in the metadata where the run stands.
const CheckpointName = "checkpoint.safetensors"

// Save writes the checkpoint of the last step, unless it is there.
func (t *Trainer) Save() error {
	if t.opts.Dir == "" || t.kept == t.step {
		return nil
	}
	if t.log != nil {
		// The lines come first: a checkpoint must not know of steps that the log does not hold.
		if err := t.log.Sync(); err != nil {
			return err
		}
	}
	var sources []safetensors.Source
	for _, g := range t.opt.Groups {
		for _, s := range []struct {
			prefix string
			v      []float32
		}{{"p/", g.Data}, {"m/", g.M}, {"v/", g.V}} {
			sources = append(sources, safetensors.Source{Name: s.prefix + g.Name, DType: safetensors.F32, Shape: []int{len(s.v)}, Write: func(w io.Writer) error {
				_, err := w.Write(bytesOf(s.v))
				return err
			}})
		}
	}
	meta := map[string]string{"id": t.opts.ID, "step": strconv.Itoa(t.step), "tokens": strconv.Itoa(t.tokens), "format": "retort"}
	// A checkpoint is written to its end even when the run is being stopped.
	if err := safetensors.WriteFile(context.Background(), filepath.Join(t.opts.Dir, CheckpointName), meta, sources); err != nil {
		return err
	}
	t.saved, t.kept = time.Now(), t.step
	return nil
}

// Of says whether the folder holds a checkpoint of the run id.
func Of(dir, id string) (bool, error) {
	f, err := safetensors.Open(filepath.Join(dir, CheckpointName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return f.Metadata["id"] == id, nil
}

// resume loads the newest checkpoint if there is one.
func (t *Trainer) resume() error {
	f, err := safetensors.Open(filepath.Join(t.opts.Dir, CheckpointName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if id := f.Metadata["id"]; id != t.opts.ID {
		return fmt.Errorf("the checkpoint is of another run (%s, this one is %s): choose another folder", id, t.opts.ID)
	}
	if t.step, err = strconv.Atoi(f.Metadata["step"]); err != nil {
		return fmt.Errorf("step: %w", err)
	}
	if t.tokens, err = strconv.Atoi(f.Metadata["tokens"]); err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	t.opt.Steps, t.kept = t.step, t.step
	for _, g := range t.opt.Groups {
		for prefix, dst := range map[string][]float32{"p/": g.Data, "m/": g.M, "v/": g.V} {
			s := f.Tensor(prefix + g.Name)
			if s == nil || s.DType != safetensors.F32 || s.Elements() != len(dst) {
				return fmt.Errorf("%s%s: missing or not %d float32", prefix, g.Name, len(dst))
			}
			if _, err := s.ReadAt(bytesOf(dst), 0); err != nil {
				return err
			}
		}
		if g.AfterUpdate != nil {
			g.AfterUpdate()
		}
	}
	return nil
}

// bytesOf views v as the bytes of a file: safetensors is little-endian, as are the machines this runs on.
func bytesOf(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
}
