package hub

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// quantPattern finds the quantization in a file's name: q4_k_m, IQ2_XS, UD-Q4_K_XL, bf16.
var quantPattern = regexp.MustCompile(`(?i)(?:^|[-._])((?:UD-)?(?:I?Q\d_[A-Z0-9_]+|TQ\d_\d|MXFP4|BF16|F16|FP16|F32))(?:[-._]|$)`)

// quantOf is the quantization that a GGUF file's name tells, in upper case, or empty.
func quantOf(file string) string {
	prefix, _ := shardsOf(path.Base(file))
	quant := ""
	for {
		m := quantPattern.FindStringSubmatchIndex(prefix)
		if m == nil {
			return strings.ToUpper(quant) // the last one: the others name what it was made from
		}
		quant, prefix = prefix[m[2]:m[3]], prefix[m[3]:] // the separator behind it may begin the next
	}
}

// preferred are the quantizations that are taken unasked, best first: small enough for an ordinary computer, and good.
var preferred = []string{"Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q4_0", "Q5_K_M", "Q5_0", "Q6_K", "Q8_0"}

// edition is a GGUF in a repository: one file, or the parts of one.
type edition struct {
	label   string // the first file's path
	files   []hubFile
	missing []string // the parts that the repository lacks
}

// editions gathers the GGUF models among a repository's files. Projectors of vision models and importance matrices are
// not models. Parts of which some are missing give an error, but only when that edition is wanted.
func editions(files []hubFile) []edition {
	byPath, seen := map[string]hubFile{}, map[string]bool{}
	for _, f := range files {
		byPath[f.Path] = f
	}
	var all []edition
	for _, f := range files {
		base := path.Base(f.Path)
		low := strings.ToLower(base)
		if !strings.HasSuffix(f.Path, ".gguf") || strings.Contains(low, "mmproj") || strings.Contains(low, "imatrix") {
			continue
		}
		e := edition{label: firstOf(f.Path)} // which stands for all parts, even where it is not there itself
		if seen[e.label] {
			continue
		}
		seen[e.label] = true
		_, names := shardsOf(base)
		for _, name := range names {
			if shard, ok := byPath[path.Join(path.Dir(f.Path), name)]; ok {
				e.files = append(e.files, shard)
			} else {
				e.missing = append(e.missing, name)
			}
		}
		all = append(all, e)
	}
	return all
}

// choose picks the edition that want names: its path, its file name, its quantization; empty is the best of the preferred.
func choose(repo string, all []edition, want string) (edition, error) {
	matches := func(fits func(e edition) bool) []edition {
		var some []edition
		for _, e := range all {
			if fits(e) {
				some = append(some, e)
			}
		}
		return some
	}
	var found []edition
	if want == "" {
		found = all
		for _, q := range preferred {
			if len(found) == 1 {
				break
			}
			if some := matches(func(e edition) bool { return quantOf(e.label) == q }); len(some) > 0 {
				found = some
				break
			}
		}
	} else {
		rules := []func(e edition) bool{
			func(e edition) bool { return e.label == firstOf(want) }, // any part stands for all
			func(e edition) bool { return strings.EqualFold(path.Base(e.label), firstOf(want)) },
			func(e edition) bool { return strings.EqualFold(quantOf(e.label), want) },
		}
		for _, fits := range rules {
			if found = matches(fits); len(found) > 0 {
				break
			}
		}
	}
	switch {
	case len(found) == 0 && want == "":
		return edition{}, fmt.Errorf("%s holds no GGUF file", repo)
	case len(found) == 0:
		return edition{}, hinted(choices(repo, all), "%s holds no GGUF file %s", repo, want)
	case len(found) > 1:
		return edition{}, hinted(choices(repo, found), "%s holds %d GGUF models", repo, len(found))
	case len(found[0].missing) > 0:
		return edition{}, missingParts(repo, path.Base(found[0].label), len(found[0].files)+len(found[0].missing), found[0].missing)
	}
	return found[0], nil
}

// choices lists what could be asked for.
func choices(repo string, all []edition) string {
	const most = 40
	var b strings.Builder
	b.WriteString("choose one of")
	for i, e := range all {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(all)-most)
			break
		}
		fmt.Fprintf(&b, " hf:%s:%s", repo, e.label)
		if n := e.size(); n > 0 {
			fmt.Fprintf(&b, " (%s)", bytesText(n))
		}
	}
	return b.String()
}

// size is the bytes of all parts, or -1.
func (e edition) size() int64 {
	n := int64(0)
	for _, f := range e.files {
		if f.Size < 0 {
			return -1
		}
		n += f.Size
	}
	return n
}
