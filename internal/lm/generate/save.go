package generate

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"retort/internal/compute/cpu"
	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/lm/model"
)

// A saved timeline is, little endian:
//
//	"retortkv" | uint32 length of head | head (JSON) | uint32 tokens [head.tokens] | pages, as CachePool.WritePage has them | SHA-256 of all before
//
// The last page is whole in the file, without anything behind the positions of tokens.
const (
	saveMagic   = "retortkv"
	saveVersion = 1
	maxSaveHead = 1 << 16
)

// saveHead says what a saved timeline is of. All of it but Tokens must be the same where it is restored: keys and values
// have the same bits only from the same weights and the same kernels.
type saveHead struct {
	Version   int    `json:"version"`
	Model     string `json:"model"` // Options.ID
	Kernels   string `json:"kernels"`
	Cache     string `json:"cache"`
	PageBytes int64  `json:"page_bytes"`
	Tokens    int    `json:"tokens"`
}

func (e *Engine) saveHead(tokens int) saveHead {
	return saveHead{saveVersion, e.o.ID, strings.Join(cpu.Kernels(), " "), e.o.Cache.String(), e.pages.PageBytes(), tokens}
}

// Save writes the keys and values that the cache holds of the beginning of tokens to w, and returns of how many. Requests
// go on meanwhile, in the room that is left.
func (e *Engine) Save(ctx context.Context, tokens []int32, w io.Writer) (saved int, err error) {
	var pages []*model.CachePage
	err = e.use(func() {
		path := e.tree.find(tokens)
		saved = len(path) * op.Page
		for _, n := range path {
			pages = append(pages, n.page)
		}
		if part, page := e.tree.partial(path, tokens); part > 0 {
			pages, saved = append(pages, page), saved+part
		}
		for _, pg := range pages { // nobody writes to a page of the tree; kept, it can be read from here
			e.pages.Retain(pg)
		}
	})
	if err != nil {
		return 0, err
	}
	defer e.giveBack(&pages)
	head, err := json.Marshal(e.saveHead(saved))
	if err != nil {
		return 0, err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	if _, err := out.WriteString(saveMagic); err != nil {
		return 0, err
	}
	for _, part := range []any{uint32(len(head)), head, tokens[:saved]} {
		if err := binary.Write(out, binary.LittleEndian, part); err != nil {
			return 0, err
		}
	}
	for i, pg := range pages {
		if err := errors.Join(ctx.Err(), e.pages.WritePage(out, pg, min(op.Page, saved-i*op.Page))); err != nil {
			return 0, err
		}
	}
	if err := out.Flush(); err != nil {
		return 0, err
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return 0, err
	}
	return saved, nil
}

// Restore reads what Save wrote, so that prompts which begin like its tokens need not be computed there, and returns how
// many tokens those are. What does not belong to this model, or was damaged, is an error, and so is a cache that requests at
// work fill; none of it is used then, though pages that were kept may have made room.
func (e *Engine) Restore(ctx context.Context, r io.Reader) (restored int, err error) {
	sum := sha256.New()
	in := &summed{bufio.NewReaderSize(r, 1<<16), sum}
	head, err := e.readHead(in)
	if err != nil {
		return 0, err
	}
	tokens := make([]int32, head.Tokens)
	if err := binary.Read(in, binary.LittleEndian, tokens); err != nil {
		return 0, cutShort(err)
	}
	if err := e.checkIDs(tokens); err != nil {
		return 0, err
	}
	var pages []*model.CachePage
	defer e.giveBack(&pages)
	for range pagesOf(len(tokens)) {
		var pg *model.CachePage
		if err := e.use(func() { pg = e.takePage() }); err != nil {
			return 0, err
		}
		if pg == nil {
			return 0, fmt.Errorf("generate: the cache has no room for %d tokens now", len(tokens))
		}
		pages = append(pages, pg)
		if err := errors.Join(ctx.Err(), e.pages.ReadPage(in, pg)); err != nil {
			return 0, cutShort(err)
		}
	}
	want := sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in.r, got); err != nil {
		return 0, cutShort(err)
	}
	if !slices.Equal(got, want) {
		return 0, errors.New("generate: the saved timeline is damaged: its sum is another")
	}
	err = e.use(func() {
		var at *node
		for i, pg := range pages {
			at = e.tree.insert(at, tokens[i*op.Page:min((i+1)*op.Page, len(tokens))], pg)
		}
	})
	if err != nil {
		return 0, err
	}
	return len(tokens), nil
}

// giveBack releases pages that were kept or taken between two steps. Requests may have waited for them.
func (e *Engine) giveBack(pages *[]*model.CachePage) {
	e.w.Do(func(*par.Pool) {
		for _, pg := range *pages {
			e.pages.Release(pg)
		}
		e.w.mu.Lock()
		defer e.w.mu.Unlock()
		e.poke()
	})
}

func (e *Engine) readHead(in io.Reader) (saveHead, error) {
	var head saveHead
	var magic [len(saveMagic)]byte
	if _, err := io.ReadFull(in, magic[:]); err != nil || string(magic[:]) != saveMagic {
		return head, errors.New("generate: this is no saved timeline")
	}
	var n uint32
	if err := binary.Read(in, binary.LittleEndian, &n); err != nil {
		return head, cutShort(err)
	}
	if n > maxSaveHead {
		return head, fmt.Errorf("generate: the head of the saved timeline has %d bytes, want %d at most", n, maxSaveHead)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return head, cutShort(err)
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return head, fmt.Errorf("generate: the head of the saved timeline: %w", err)
	}
	if head.Tokens < 0 || head.Tokens > e.limit {
		return head, fmt.Errorf("generate: the saved timeline has %d tokens, want 0 to %d", head.Tokens, e.limit)
	}
	if want := e.saveHead(head.Tokens); head != want {
		return head, head.differs(want)
	}
	return head, nil
}

// differs says in what a saved timeline is not what is wanted.
func (h saveHead) differs(want saveHead) error {
	for _, f := range []struct {
		what      string
		got, want any
	}{
		{"version", h.Version, want.Version}, {"cache type", h.Cache, want.Cache}, {"kernels", h.Kernels, want.Kernels},
		{"bytes a page", h.PageBytes, want.PageBytes},
	} {
		if f.got != f.want {
			return fmt.Errorf("generate: the saved timeline has another %s: %v, want %v", f.what, f.got, f.want)
		}
	}
	return errors.New("generate: the saved timeline is of another model or adapter")
}

// cutShort says in our words that a file ends too early.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("generate: the saved timeline is cut short")
	}
	return err
}

// summed hashes what is read through it.
type summed struct {
	r   io.Reader
	sum hash.Hash
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	return n, err
}
