package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"retort/internal/format/gguf"
)

func TestMain(m *testing.M) {
	if ref := os.Getenv("HUB_TEST_PULL"); ref != "" { // this is the child of TestKill
		s, err := Open(os.Getenv("HUB_TEST_HOME"))
		if err == nil {
			_, err = s.Pull(context.Background(), ref, PullOptions{})
		}
		fmt.Println(err)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// fakeHub speaks the routes of the Hugging Face hub and of an Ollama registry, and hands its files out from a second
// server, as both do. Hooks make it misbehave.
type fakeHub struct {
	hub, storage *httptest.Server
	repos        map[string]map[string][]byte // owner/repo -> path -> content
	images       map[string][]byte            // family:tag -> model

	// serve, where set, may answer a storage request itself; n counts those requests from 1.
	serve func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool
	// ask, where set, may answer a request to the hub itself.
	ask func(w http.ResponseWriter, r *http.Request, n int) bool

	mu     sync.Mutex
	asked  int
	fetch  []*http.Request // what the storage was asked
	hubReq []*http.Request
	sent   []int64 // body bytes that left the storage, by request
}

func newFakeHub(t *testing.T) *fakeHub {
	h := &fakeHub{repos: map[string]map[string][]byte{}, images: map[string][]byte{}}
	h.hub = httptest.NewServer(http.HandlerFunc(h.answer))
	h.storage = httptest.NewServer(http.HandlerFunc(h.store))
	t.Cleanup(func() { h.hub.Close(); h.storage.Close() })
	return h
}

func (h *fakeHub) add(repo, file string, data []byte) {
	if h.repos[repo] == nil {
		h.repos[repo] = map[string][]byte{}
	}
	h.repos[repo][file] = data
}

func shaOf(data []byte) string { s := sha256.Sum256(data); return hex.EncodeToString(s[:]) }

// lfs reports whether the hub would keep a file in large file storage.
func lfs(file string) bool {
	return strings.HasSuffix(file, ".gguf") || strings.HasSuffix(file, ".safetensors")
}

func (h *fakeHub) answer(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked++
	n := h.asked
	h.hubReq = append(h.hubReq, r)
	h.mu.Unlock()
	if h.ask != nil && h.ask(w, r, n) {
		return
	}
	seg := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(seg) == 6 && seg[0] == "api" && seg[4] == "tree":
		h.tree(w, r, seg[2]+"/"+seg[3])
	case len(seg) == 4 && seg[0] == "api":
		h.siblings(w, r, seg[2]+"/"+seg[3])
	case len(seg) >= 5 && seg[2] == "resolve":
		data, ok := h.repos[seg[0]+"/"+seg[1]][path.Join(seg[4:]...)]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if !lfs(r.URL.Path) {
			w.Header().Set("ETag", `"`+shaOf(data)[:40]+`"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			return
		}
		w.Header().Set("X-Linked-Etag", `"`+shaOf(data)+`"`)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(data)))
		http.Redirect(w, r, h.storage.URL+"/blob/"+shaOf(data)+"?signature=secret", http.StatusFound)
	case len(seg) == 5 && seg[0] == "v2" && seg[3] == "manifests":
		data, ok := h.images[seg[2]+":"+seg[4]]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.ollama.image.template","digest":"sha256:%s","size":3},
			{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:%s","size":%d}]}`, shaOf(nil), shaOf(data), len(data))
	case len(seg) == 5 && seg[0] == "v2" && seg[3] == "blobs":
		http.Redirect(w, r, h.storage.URL+"/blob/"+strings.TrimPrefix(seg[4], "sha256:"), http.StatusTemporaryRedirect)
	default:
		http.NotFound(w, r)
	}
}

func (h *fakeHub) tree(w http.ResponseWriter, r *http.Request, repo string) {
	files, ok := h.repos[repo]
	if !ok {
		http.NotFound(w, r)
		return
	}
	var tree []map[string]any
	for name, data := range files {
		f := map[string]any{"type": "file", "path": name, "size": len(data), "oid": shaOf(data)[:40]}
		if lfs(name) {
			f["lfs"] = map[string]any{"oid": shaOf(data), "size": len(data)}
		}
		tree = append(tree, f)
	}
	json.NewEncoder(w).Encode(tree)
}

func (h *fakeHub) siblings(w http.ResponseWriter, r *http.Request, repo string) {
	files, ok := h.repos[repo]
	if !ok {
		http.NotFound(w, r)
		return
	}
	var names []map[string]string
	for name := range files {
		names = append(names, map[string]string{"rfilename": name})
	}
	json.NewEncoder(w).Encode(map[string]any{"siblings": names})
}

// blob finds a content by its hash.
func (h *fakeHub) blob(sum string) []byte {
	for _, files := range h.repos {
		for _, data := range files {
			if shaOf(data) == sum {
				return data
			}
		}
	}
	for _, data := range h.images {
		if shaOf(data) == sum {
			return data
		}
	}
	return nil
}

func (h *fakeHub) store(w http.ResponseWriter, r *http.Request) {
	data := h.blob(path.Base(r.URL.Path))
	h.mu.Lock()
	h.fetch = append(h.fetch, r)
	h.sent = append(h.sent, 0)
	n := len(h.fetch)
	h.mu.Unlock()
	counted := &countingWriter{ResponseWriter: w, hub: h, n: n}
	if h.serve != nil && h.serve(counted, r, data, n) {
		return
	}
	serveBlob(counted, r, data)
}

func serveBlob(w http.ResponseWriter, r *http.Request, data []byte) {
	w.Header().Set("ETag", `"tag-`+shaOf(data)[:8]+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (h *fakeHub) counts() (requests int, sent int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.sent {
		sent += n
	}
	return len(h.fetch), sent
}

// countingWriter counts body bytes. It can cut the connection after some, or slow it down so that a cancellation meets
// the body and not the sockets' buffers.
type countingWriter struct {
	http.ResponseWriter
	hub   *fakeHub
	n     int   // of the request
	left  int64 // bytes before the cut, when cut is set
	cut   bool
	pause time.Duration // before every 4 KiB

	hold  <-chan struct{} // if not nil, the body waits for it
	holds int64           // after so many bytes
}

func (c *countingWriter) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		n := min(len(p), 4<<10)
		if c.hold != nil {
			if c.holds <= 0 {
				http.NewResponseController(c.ResponseWriter).Flush()
				<-c.hold
			}
			n = int(min(int64(n), max(c.holds, 1)))
			c.holds -= int64(n)
		}
		if c.pause > 0 {
			time.Sleep(c.pause)
		}
		if c.cut && int64(n) > c.left {
			n = int(c.left)
		}
		n, err := c.ResponseWriter.Write(p[:n])
		c.hub.mu.Lock()
		c.hub.sent[c.n-1] += int64(n)
		c.hub.mu.Unlock()
		total, p, c.left = total+n, p[n:], c.left-int64(n)
		if err != nil {
			return total, err
		}
		if c.cut && c.left == 0 {
			http.NewResponseController(c.ResponseWriter).Flush()
			panic(http.ErrAbortHandler)
		}
		if c.pause > 0 {
			http.NewResponseController(c.ResponseWriter).Flush()
		}
	}
	return total, nil
}

// cutAfter serves a blob and cuts the connection after n bytes.
func cutAfter(w http.ResponseWriter, r *http.Request, data []byte, n int64) {
	c := w.(*countingWriter)
	c.cut, c.left = true, n
	serveBlob(c, r, data)
}

// setLlama gives a file what a llama's config is read from.
func setLlama(w *gguf.Writer) {
	setConfig(w)
	setEmbedding(w)
}

func setConfig(w *gguf.Writer) {
	w.Set("general.architecture", gguf.ValueOf("llama"))
	for _, key := range []string{"embedding_length", "block_count", "feed_forward_length", "context_length"} {
		w.Set("llama."+key, gguf.ValueOf(uint32(8)))
	}
	w.Set("llama.attention.head_count", gguf.ValueOf(uint32(2)))
	w.Set("llama.attention.layer_norm_rms_epsilon", gguf.ValueOf(float32(1e-5)))
}

func setEmbedding(w *gguf.Writer) {
	w.Add("token_embd.weight", gguf.F32, []int{8, 2}, func(dst io.Writer) error {
		_, err := dst.Write(make([]byte, 64))
		return err
	})
}

// llamaConfig is a config.json that is accepted.
const llamaConfig = `{"model_type":"llama","vocab_size":8,"hidden_size":8,"num_hidden_layers":1,"num_attention_heads":2,"intermediate_size":8,"max_position_embeddings":16}`

// indexOf is the index of a folder whose shards each hold one tensor, w and a number from 1.
func indexOf(shards ...string) []byte {
	files := map[string]string{}
	for i, shard := range shards {
		files[fmt.Sprint("w", i+1)] = shard
	}
	data, _ := json.Marshal(map[string]any{"weight_map": files})
	return data
}

// tinyGGUF makes a GGUF file with n random numbers.
func tinyGGUF(t testing.TB, n int, seed uint64) []byte {
	return writeGGUF(t, setLlama, "output_norm.weight", n, seed)
}

// tinyParts makes the parts of one model, with ns random numbers each.
func tinyParts(t testing.TB, ns ...int) [][]byte {
	t.Helper()
	var parts [][]byte
	for i, n := range ns {
		head := func(w *gguf.Writer) {
			if i == 0 {
				setLlama(w)
			}
			w.Set("split.no", gguf.ValueOf(uint16(i)))
			w.Set("split.count", gguf.ValueOf(uint16(len(ns))))
			w.Set("split.tensors.count", gguf.ValueOf(int32(len(ns)+1)))
		}
		parts = append(parts, writeGGUF(t, head, fmt.Sprintf("blk.%d.ffn_up.weight", i), n, uint64(i)))
	}
	return parts
}

// writeGGUF makes a GGUF file of what head sets and a tensor of n random numbers.
func writeGGUF(t testing.TB, head func(w *gguf.Writer), tensor string, n int, seed uint64) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m.gguf")
	w, err := gguf.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	head(w)
	w.Add(tensor, gguf.F32, []int{n}, func(dst io.Writer) error {
		rng, data := rand.New(rand.NewPCG(seed, 1)), make([]byte, 4*n)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		_, err := dst.Write(data)
		return err
	})
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// safetensorsFile makes a file with one tensor, w and fill, of n bytes.
func safetensorsFile(n int, fill byte) []byte {
	header := fmt.Sprintf(`{"__metadata__":{"format":"pt"},"w%d":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, fill, n, n)
	out := make([]byte, 8, 8+len(header)+n)
	out[0], out[1] = byte(len(header)), byte(len(header)>>8)
	out = append(out, header...)
	return append(out, bytes.Repeat([]byte{fill}, n)...)
}

// options points a pull at the fake hub, with short waits.
func (h *fakeHub) options() PullOptions {
	return PullOptions{HubEndpoint: h.hub.URL, Registry: h.hub.URL, HubToken: "hf_secret",
		StallTimeout: 5 * time.Second, Backoff: time.Millisecond}
}

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustPull(t *testing.T, s *Store, ref string, o PullOptions) Entry {
	t.Helper()
	e, err := s.Pull(t.Context(), ref, o)
	if err != nil {
		t.Fatalf("pull %s: %v", ref, err)
	}
	return e
}

// wantContent demands that the entry's file is data and that the manifest and a fresh hash agree.
func wantContent(t *testing.T, s *Store, e Entry, data []byte) {
	t.Helper()
	got, err := os.ReadFile(e.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("%s: %d bytes that differ from the %d of the source", e.Name, len(got), len(data))
	}
	if e.Size != int64(len(data)) || e.SHA256 != shaOf(data) {
		t.Fatalf("%s: manifest says %d bytes %s", e.Name, e.Size, e.SHA256)
	}
	if err := s.Verify(context.Background(), e.Name, nil); err != nil {
		t.Fatal(err)
	}
}

// wantNothing demands that the store lists no model.
func wantNothing(t *testing.T, s *Store) {
	t.Helper()
	entries, err := s.List()
	if err != nil || len(entries) != 0 {
		t.Fatalf("store holds %v, %v; want nothing", entries, err)
	}
}

// leftovers lists the files under .partial.
func leftovers(t *testing.T, s *Store) (files []string) {
	t.Helper()
	filepath.WalkDir(filepath.Join(s.dir(), partialDir), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, filepath.Base(p))
		}
		return nil
	})
	return files
}
