package convert

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"retort/internal/compute/quant"
	"retort/internal/format/weights"
	"retort/internal/lm/model"
)

// ToFolder writes the model at src into the folder dst, with config.json, safetensors and tokenizer.json. All tensors have
// the main type of the mixture, F32, F16 or BF16; without one they have the type of most of src if that is F32 or F16, else
// BF16.
//
// A new folder appears by one rename when it is whole; one that is there, and empty, gets its config.json last, without which
// it is no model.
func ToFolder(ctx context.Context, src, dst string, o Options) error {
	dst = filepath.Clean(dst)
	if err := checkPlace(src, dst); err != nil {
		return err
	}
	list, err := os.ReadDir(dst)
	there := err == nil
	if len(list) > 0 || err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("%s is there already, want a new or empty folder", dst)
	}
	s, err := openSource(src, o.Adapter)
	if err != nil {
		return err
	}
	defer s.Close()
	t := o.Mixture.Main
	if o.Mixture.Name == "" {
		t = mostly(s)
	}
	m, err := model.Load(src, model.LoadOptions{Pool: o.Pool, Adapter: o.Adapter})
	if err != nil {
		return err
	}
	defer m.Close()
	in := filepath.Dir(dst)
	if there {
		in = dst // it may be where the user is, or a disk of its own: it stays the folder that it is
	}
	aside, err := os.MkdirTemp(in, ".retort-convert.*")
	if err != nil {
		return fmt.Errorf("make %s: %w", dst, err)
	}
	defer os.RemoveAll(aside)
	stage := filepath.Join(aside, "model") // with the permissions of any new folder
	if err := m.WriteSafetensors(ctx, stage, t); err != nil {
		return err
	}
	note, err := s.writeBeside(ctx, stage)
	if err != nil {
		return err
	}
	if there {
		err = moveInto(stage, dst)
	} else {
		err = os.Rename(stage, dst)
	}
	if err == nil && note != "" && o.Note != nil {
		o.Note(note)
	}
	return err
}

// mostly is the type that a folder is written in: F32 or F16 where most bytes of src are stored so, else BF16.
func mostly(src weights.Source) quant.Type {
	bytes := map[quant.Type]int64{}
	most := quant.BF16
	for _, name := range src.Names() {
		t, _ := weights.Describe(src, name)
		if !t.Type.Known() {
			continue
		}
		bytes[t.Type] += int64(t.Elements() / t.Type.BlockSize() * t.Type.BlockBytes())
		if bytes[t.Type] > bytes[most] {
			most = t.Type
		}
	}
	if most == quant.F32 || most == quant.F16 {
		return most
	}
	return quant.BF16
}

// writeBeside writes what a folder has beside its tensors and the model's configuration. note is what the user should know.
func (s *source) writeBeside(ctx context.Context, dir string) (note string, err error) {
	if err := s.keepMetadata(dir); err != nil {
		return "", err
	}
	if s.folder != "" {
		return "", copyVocabulary(s.folder, dir)
	}
	return folderVocabulary(ctx, dir, s.md)
}

// moveInto moves the files of a model's folder into dst, config.json last; after an error none is there.
func moveInto(stage, dst string) (err error) {
	list, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	var names, moved []string
	for _, d := range list {
		if d.Name() != model.ConfigName {
			names = append(names, d.Name())
		}
	}
	defer func() {
		for _, name := range moved {
			if err != nil {
				os.Remove(filepath.Join(dst, name))
			}
		}
	}()
	for _, name := range append(names, model.ConfigName) {
		if err := os.Rename(filepath.Join(stage, name), filepath.Join(dst, name)); err != nil {
			return err
		}
		moved = append(moved, name)
	}
	return nil
}
