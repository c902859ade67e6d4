package session

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
	"retort/internal/lm/scripted"
	"retort/internal/numtest"
)

var hello = []chat.Message{{Role: "user", Content: "hello"}}

// speaker says "Hi there!" and ends.
var speaker = scripted.Model{Text: []string{"Hi", " there"}, Control: marks, Template: chatml, Next: chain("<|go|>", "Hi", " there", "!")}

func TestAnswer(t *testing.T) {
	m := open(t, speaker, Options{})
	a, err := m.Start(context.Background(), Request{Messages: hello, Logprobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var kinds []Kind
	var last *Result
	chosen := 0
	for e := range a.Events() {
		if len(kinds) == 0 || kinds[len(kinds)-1] != e.Kind {
			kinds = append(kinds, e.Kind)
		}
		text.WriteString(e.Text)
		switch e.Kind {
		case Progress:
			if e.Total != len(a.Prompt()) || e.Done < 1 || e.Done > e.Total {
				t.Errorf("progress %d of %d, want up to %d", e.Done, e.Total, len(a.Prompt()))
			}
		case Logprob:
			want := []string{"Hi", " there", "!"}[chosen]
			if x := e.Token; x.Text != want || len(x.Top) != 2 || x.Top[0] != x.Choice || x.Logprob < math.Log(0.99) || x.Logprob > 0 || x.Top[1].Logprob > x.Logprob {
				t.Errorf("token %d is %+v, want %q all but certain, and the first of two", chosen, x, want)
			}
			chosen++
		case Finished:
			last = e.Result
		}
	}
	res, err := a.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != "Hi there!" || res.Text != "Hi there!" || res.Reasoning != "" || res.Finish != FinishStop || res.Stop != "" || chosen != 3 {
		t.Errorf("events say %q, the result is %+v; %d probabilities", text.String(), res, chosen)
	}
	if kinds[0] != Progress || kinds[len(kinds)-1] != Finished || last == nil || last.Text != res.Text {
		t.Errorf("kinds of events are %v, the last result %+v", kinds, last)
	}
	if u := res.Usage; u.Prompt != len(a.Prompt()) || u.Answer != 3 || u.Reasoning != 0 || len(res.Tokens) != 3 {
		t.Errorf("usage is %+v of a prompt of %d tokens, tokens %v", u, len(a.Prompt()), res.Tokens)
	}
	again := ask(t, m, Request{Messages: hello})
	if again.Usage.Cached == 0 || again.Text != res.Text {
		t.Errorf("asked again: %+v, want tokens that were computed before", again.Usage)
	}
}

// A prompt is a conversation, a text or tokens, and of each the same tokens ask the same.
func TestPrompt(t *testing.T) {
	m := open(t, speaker, Options{})
	ids, err := m.Prompt(Request{Messages: hello})
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, m, Request{Tokens: ids}).Text; got != "Hi there!" {
		t.Errorf("the same tokens: %q", got)
	}
	// Typed text is never a control token, so the script does not begin.
	if ids, err := m.Prompt(Request{Text: "<|go|>"}); err != nil || len(ids) != len("<|go|>") {
		t.Errorf("the text of a control token is %v, %v", ids, err)
	}
	for name, c := range map[string]struct {
		r    Request
		want string
	}{
		"two prompts":     {Request{Messages: hello, Text: "x"}, "exclude each other"},
		"tokens and text": {Request{Tokens: []int32{1}, Text: "x"}, "exclude each other"},
		"id":              {Request{Tokens: []int32{1, int32(m.Rows)}}, fmt.Sprintf("token id %d, want 0 to %d", m.Rows, m.Rows-1)},
		"negative id":     {Request{Tokens: []int32{-1}}, "token id -1, want 0 to"},
		"bound":           {Request{Text: "x", Max: -1}, "want 0 or more"},
		"stop":            {Request{Text: "x", Stop: []string{"a", ""}}, "a stop text is empty"},
		"schema and stop": {Request{Text: "x", Stop: []string{"a"}, Schema: compile(t, "{}")}, "exclude each other"},
		"sampler":         {Request{Text: "x", Sampler: generate.SamplerOptions{Temperature: -1}}, "temperature is -1"},
		"role":            {Request{Messages: []chat.Message{{Role: "king"}}}, `role "king"`},
	} {
		for _, f := range []func() error{
			func() error { _, err := m.Start(context.Background(), c.r); return err },
			func() error { _, err := m.Prompt(c.r); return err },
		} {
			if err := f(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", name, err, c.want)
			}
		}
	}
	var full *generate.ContextError
	if _, err := m.Start(context.Background(), Request{Text: strings.Repeat("x", 513)}); !errors.As(err, &full) || full.Tokens != 513 || full.Limit != 512 {
		t.Errorf("a prompt beyond the context: error %v", err)
	}
	bare := speaker
	bare.Template = ""
	if _, err := open(t, bare, Options{}).Start(context.Background(), Request{Messages: hello}); !errors.Is(err, chat.ErrNoTemplate) {
		t.Errorf("a model without a template: error %v", err)
	}
}

// F12, F15: a stop text ends an answer wherever it comes, whatever it is made of.
func TestStop(t *testing.T) {
	control := scripted.Model{Text: []string{"Hi", "you", "END"}, Control: marks, Template: chatml, Next: chain("<|go|>", "Hi", "<|im_start|>", "you", "END")}
	thinking := scripted.Model{Text: []string{"let", " me", " see", "42"}, Control: marks, Template: thinker, Next: chain("<think>", "let", " me", " see", "</think>", "42")}
	for name, c := range map[string]struct {
		m               scripted.Model
		stop            []string
		reasoning, text string
		hit             string
	}{
		"nothing":                    {control, nil, "", "HiyouEND", ""},
		"another text":               {control, []string{"zebra"}, "", "HiyouEND", ""},
		"control token":              {control, []string{"<|im_start|>"}, "", "Hi", "<|im_start|>"},
		"control token and text":     {control, []string{"<|im_start|>yo"}, "", "Hi", "<|im_start|>yo"},
		"control token and no text":  {control, []string{"<|im_start|>me"}, "", "HiyouEND", ""},
		"the beginning of one":       {control, []string{"END!"}, "", "HiyouEND", ""},
		"over tokens":                {control, []string{"uE"}, "", "Hiyo", "uE"},
		"the first of several":       {control, []string{"END", "you"}, "", "Hi", "you"},
		"in reasoning":               {thinking, []string{"me"}, "let ", "", "me"},
		"over tokens of reasoning":   {thinking, []string{"t m"}, "le", "", "t m"},
		"the mark behind reasoning":  {thinking, []string{"</think>"}, "let me see", "", "</think>"},
		"from reasoning into answer": {thinking, []string{"see</think>4"}, "let me ", "", "see</think>4"},
		"behind reasoning":           {thinking, []string{"2"}, "let me see", "4", "2"},
		"not in what was asked":      {thinking, []string{"hello"}, "let me see", "42", ""},
	} {
		res := ask(t, open(t, c.m, Options{}), Request{Messages: hello, Stop: c.stop})
		if res.Reasoning != c.reasoning || res.Text != c.text || res.Stop != c.hit || res.Finish != FinishStop {
			t.Errorf("%s: %q, %q, stopped by %q (%s), want %q, %q, %q", name, res.Reasoning, res.Text, res.Stop, res.Finish, c.reasoning, c.text, c.hit)
		}
	}
}

func compile(t testing.TB, schema string) *grammar.Grammar {
	t.Helper()
	g, err := grammar.Compile([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// G1: with a schema a model may think first, and its answer is the JSON.
func TestSchemaBehindThinking(t *testing.T) {
	whole := []string{"hm", "\n\n", "Sure", `"y`}
	opened := scripted.Model{Text: whole, Control: marks, Template: thinker, Next: chain("<think>", "hm", "</think>", "Sure")}
	itself := scripted.Model{Text: whole, Control: marks, Template: chatml + "{# as in <think> #}", Next: chain("<|go|>", "<think>", "hm", "</think>", "\n\n", "\n")}
	never := scripted.Model{Text: whole, Control: marks, Template: chatml, Next: chain("<|go|>", "Sure")}
	ends := scripted.Model{Text: whole, Control: marks, Template: thinker, Next: chain("<think>", "hm", "<|im_end|>")}
	for name, c := range map[string]struct {
		m               scripted.Model
		think           chat.Thinking
		reasoning, text string
	}{
		"the template opens a block":        {opened, chat.ThinkAuto, "hm", `"yes"`},
		"asked to think":                    {opened, chat.ThinkOn, "hm", `"yes"`},
		"asked not to":                      {opened, chat.ThinkOff, "", `"yes"`},
		"the model opens a block":           {itself, chat.ThinkAuto, "hm", `"yes"`},
		"the model may not open one":        {itself, chat.ThinkOff, "", `"yes"`},
		"the model does not think":          {never, chat.ThinkAuto, "", `"yes"`},
		"the model would end while it does": {ends, chat.ThinkAuto, "*", ""},
	} {
		m := open(t, c.m, Options{})
		res, err := m.Ask(context.Background(), Request{Messages: hello, Chat: chat.Options{Thinking: c.think}, Schema: compile(t, `{"const": "yes"}`), Max: 60})
		if c.text == "" {
			var cut *CutError
			if !errors.As(err, &cut) || cut.Tokens != 60 || cut.Full || !cut.Thinking || res.Text != "" {
				t.Errorf("%s: %q, error %v, want one that says it was cut at 60 tokens", name, res.Text, err)
			}
			continue
		}
		if err != nil || c.reasoning != "*" && res.Reasoning != c.reasoning || res.Text != c.text {
			t.Errorf("%s: %q, %q, %v, want %q, %q", name, res.Reasoning, res.Text, err, c.reasoning, c.text)
		}
		if n := res.Timing.Decoded; n != len(res.Tokens)-1 {
			t.Errorf("%s: %d tokens of %d were decoded: the end of a value that is whole is not asked for", name, n, len(res.Tokens))
		}
		if (res.Reasoning == "") != (res.Usage.Reasoning == 0) {
			t.Errorf("%s: %d tokens of reasoning in %q", name, res.Usage.Reasoning, res.Reasoning)
		}
	}
}

// Where the mark behind reasoning is spelled, no token closes it and goes on with what is not bound.
func TestBoundSpelledMark(t *testing.T) {
	m := open(t, scripted.Model{Text: []string{"</think>", "</", "think", ">\n", ">\n\n", ">\n\n\n", ">x", "\n\n", "a</think>{", "<</"}, Control: marks[:3], Template: thinker}, Options{})
	id := func(text string) int { // of the text as the vocabulary spells it
		i, ok := m.Tokenizer.ID(text)
		if !ok {
			t.Fatalf("no token %q", text)
		}
		return i
	}
	b := m.bind(compile(t, `{"const": "yes"}`), true, true)
	mask := make([]uint64, b.vocab.Words())
	for _, step := range []struct {
		accept      string
		allowed, no []string
	}{
		{"", []string{"a", "</think>", "</", ">x", ">ĊĊĊ", "ĊĊ", `"`}, []string{"a</think>{", "<|im_end|>"}},
		{"<</", []string{"</think>", "think", "a"}, []string{"a</think>{"}},
		{"think", []string{">", ">Ċ", ">ĊĊ", "a", "</think>"}, []string{">ĊĊĊ", ">x", "<|im_end|>", "a</think>{"}},
		{">Ċ", []string{"Ċ", `"`}, []string{"ĊĊ", "a", "<|im_end|>"}},
		{"!ĊĊ", nil, nil}, // one break is left
		{"Ċ", []string{`"`}, []string{"Ċ", "ĊĊ", "a"}},
		{`"`, []string{"y"}, []string{"Ċ", "a"}},
	} {
		if refused, ok := strings.CutPrefix(step.accept, "!"); ok {
			c := *b
			c.matcher = b.matcher.Clone()
			if c.Accept(id(refused)) == nil {
				t.Errorf("%q is accepted", refused)
			}
			continue
		}
		if step.accept != "" {
			if err := b.Accept(id(step.accept)); err != nil {
				t.Fatal(err)
			}
		}
		clear(mask)
		if err := b.Mask(mask); err != nil {
			t.Fatal(err)
		}
		has := func(text string) bool { i := id(text); return mask[i>>6]>>(i&63)&1 == 1 }
		for _, text := range step.allowed {
			if !has(text) {
				t.Errorf("after %q: %q is not allowed", step.accept, text)
			}
		}
		for _, text := range step.no {
			if has(text) {
				t.Errorf("after %q: %q is allowed", step.accept, text)
			}
		}
	}
}

// G4: an answer that was cut before it is valid is an error, whatever it looks like.
func TestCut(t *testing.T) {
	m := open(t, scripted.Model{Control: marks, Next: map[string]string{"": "7"}, Context: 15}, Options{})
	for name, c := range map[string]struct {
		max  int
		full bool
	}{"by the bound": {3, false}, "by the context": {0, true}} {
		for _, schema := range []string{`{"type":"string","minLength":100}`, `{"type":"integer"}`} { // of the second every beginning is a whole
			res, err := m.Ask(context.Background(), Request{Text: "x", Max: c.max, Schema: compile(t, schema)})
			var cut *CutError
			if !errors.As(err, &cut) || cut.Full != c.full || cut.Thinking || cut.Tokens != len(res.Tokens) {
				t.Errorf("%s, %s: %+v, error %v", name, schema, res, err)
			}
		}
	}
}

// G5: rows without a token, control tokens and tokens of no use are never written, however hot the sampler is.
func TestRowsWithoutToken(t *testing.T) {
	m := open(t, scripted.Model{Control: marks, Unused: []string{"[PAD261]", "[PAD262]"}, Rows: 2000, Next: map[string]string{"": "a"}}, Options{})
	for seed := range uint64(4) {
		res, err := m.Ask(context.Background(), Request{Text: "x", Max: 60, Schema: compile(t, `{"type":"string"}`), Sampler: generate.SamplerOptions{Temperature: 100, Seed: seed}})
		var cut *CutError
		if err != nil && !errors.As(err, &cut) {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(res.Tokens, func(id int32) bool { return id >= 256 }); i >= 0 {
			t.Errorf("seed %d: token %d is no text", seed, res.Tokens[i])
		}
	}
}

// A request that its context ends gives what came until then.
func TestCancel(t *testing.T) {
	m := open(t, scripted.Model{Control: marks, Next: map[string]string{"": "a"}, Context: 100_000}, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a, err := m.Start(ctx, Request{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for e := range a.Events() {
		if e.Kind == Content {
			cancel()
		}
	}
	res, err := a.Wait()
	if !errors.Is(err, context.Canceled) || res.Finish != FinishInterrupted || res.Text == "" || strings.Trim(res.Text, "a") != "" || len(res.Tokens) != len(res.Text) {
		t.Errorf("%q (%s), %d tokens, error %v", res.Text, res.Finish, len(res.Tokens), err)
	}
}

// So does one that runs out of time.
func TestDeadline(t *testing.T) {
	m := open(t, scripted.Model{Control: marks, Next: map[string]string{"": "a"}, Context: 1_000_000}, Options{CacheBytes: 1 << 30})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if res, err := m.Ask(ctx, Request{Text: "x"}); !errors.Is(err, context.DeadlineExceeded) || res.Finish != FinishInterrupted {
		t.Errorf("%d tokens (%s), error %v", len(res.Tokens), res.Finish, err)
	}
}

// Calls of functions are told as they come; what turns out to be none is content.
func TestToolCalls(t *testing.T) {
	template, err := os.ReadFile(numtest.Shared(t, "data/templates/Qwen-Qwen2.5-7B-Instruct.jinja"))
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\"", ": 1}}\n</tool_call>"
	r := Request{Messages: hello, Chat: chat.Options{Tools: []chat.Tool{{Name: "add"}}}}
	for name, c := range map[string]struct {
		says   []string
		kinds  []Kind
		text   string
		calls  []chat.ToolCall
		finish Finish
	}{
		"a call":     {[]string{begin, end}, []Kind{Progress, CallBegin, CallArguments, CallEnd, Finished}, "", []chat.ToolCall{{ID: "call_0", Name: "add", Arguments: `{"a": 1}`}}, FinishToolCalls},
		"half a one": {[]string{begin, "!"}, []Kind{Progress, CallBegin, CallArguments, CallBroken, Content, Finished}, begin + "!", nil, FinishStop},
	} {
		m := open(t, scripted.Model{Text: []string{begin, end}, Control: marks, Template: string(template), Context: 2048, Next: chain("\n", c.says...)}, Options{})
		a, err := m.Start(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []Kind
		for e := range a.Events() {
			if len(kinds) == 0 || kinds[len(kinds)-1] != e.Kind {
				kinds = append(kinds, e.Kind)
			}
		}
		res, err := a.Wait()
		if err != nil || res.Text != c.text || !slices.Equal(res.ToolCalls, c.calls) || res.Finish != c.finish {
			t.Errorf("%s: %q, %+v (%s), %v", name, res.Text, res.ToolCalls, res.Finish, err)
		}
		if !slices.Equal(kinds, c.kinds) {
			t.Errorf("%s: events %v, want %v", name, kinds, c.kinds)
		}
	}
}

// A text begins with the BOS that the model's file asks for.
func TestTextBOS(t *testing.T) {
	files, err := tokenizer.Open(numtest.Shared(t, "data/vocabs/ggml-vocab-llama-spm.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := (&Form{Tokenizer: files.Tokenizer, Rows: files.Tokenizer.Vocab()}).Prompt(Request{Text: "hello"})
	if err != nil || len(ids) != 2 || ids[0] != 1 {
		t.Errorf("hello is %v, %v, want 1 and a word", ids, err)
	}
}

// IgnoreEnd goes on behind the end, which is no part of the text.
func TestIgnoreEnd(t *testing.T) {
	m := open(t, scripted.Model{Control: marks, Next: map[string]string{"a": "<|im_end|>", "<|im_end|>": "b", "b": "a"}}, Options{})
	if res := ask(t, m, Request{Text: "b", Max: 5, IgnoreEnd: true}); res.Text != "aba" || res.Finish != FinishLength {
		t.Errorf("%q (%s), want aba and the bound", res.Text, res.Finish)
	}
	if res := ask(t, m, Request{Text: "b", Max: 5}); res.Text != "a" || res.Finish != FinishStop {
		t.Errorf("%q (%s), want a and the end", res.Text, res.Finish)
	}
}

// Models of one host answer at the same time as they do alone, with each other and with themselves.
func TestSeveralModels(t *testing.T) {
	scripts := []scripted.Model{
		speaker,
		{Control: marks, Template: chatml, Next: map[string]string{"<|go|>": "a", "a": "b", "b": "c", "c": "a"}},
		{Text: []string{"hm", "42"}, Control: marks, Template: thinker, Next: chain("<think>", "hm", "</think>", "42")},
	}
	requests := []Request{{Messages: hello, Max: 40}, {Messages: hello, Max: 40, Sampler: generate.SamplerOptions{Temperature: 30, Seed: 3}}, {Text: "some text", Max: 9},
		{Messages: hello, Schema: compile(t, `{"type":"object","properties":{"a":{"enum":["x","yy"]}},"required":["a"]}`)}}
	type outcome struct {
		Result
		err string
	}
	try := func(m *Model, r Request) outcome {
		res, err := m.Ask(context.Background(), r)
		return outcome{res, fmt.Sprint(err)}
	}
	var want []outcome
	for _, s := range scripts {
		m := open(t, s, Options{})
		for _, r := range requests {
			want = append(want, try(m, r))
		}
	}
	h := NewHost(2)
	defer h.Close()
	var all sync.WaitGroup
	for i, s := range scripts {
		m, err := h.Open(context.Background(), write(t, s), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for k, r := range requests {
				all.Go(func() {
					got, alone := try(m, r), want[i*len(requests)+k]
					if got.err != alone.err || got.Text != alone.Text || got.Reasoning != alone.Reasoning || !slices.Equal(got.Tokens, alone.Tokens) {
						t.Errorf("model %d, request %d: %+v, alone %+v", i, k, got, alone)
					}
				})
			}
		}
	}
	all.Wait()
}

// A host that is closed ends what runs, and closes its models.
func TestClose(t *testing.T) {
	h := NewHost(1)
	m, err := h.Open(context.Background(), write(t, scripted.Model{Control: marks, Next: map[string]string{"": "a"}, Context: 100_000}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Start(context.Background(), Request{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for e := range a.Events() {
		if e.Kind == Content {
			break
		}
	}
	h.Close()
	if res, err := a.Wait(); !errors.Is(err, generate.ErrClosed) {
		t.Errorf("%d tokens, error %v, want %v", len(res.Tokens), err, generate.ErrClosed)
	}
	if err := m.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}
