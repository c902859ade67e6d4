package data

import (
	"reflect"
	"slices"
	"testing"

	"retort/internal/compute/op"
)

func TestPack(t *testing.T) {
	b := Pack([]Example{
		{Tokens: []int32{10, 11, 12, 13}, From: 2},
		{Tokens: []int32{5}, From: 1}, // nothing to predict
		{},
		{Tokens: []int32{20, 21}, From: 1, Weight: 0.5},
		{Tokens: []int32{30, 31, 32}, From: 9}, // seen, not asked
		{Tokens: []int32{40, 41, 42}},          // From 0 is as 1: nothing precedes the first token
	})
	want := &Batch{
		Batch: op.Batch{
			Tokens: []int32{10, 11, 12, 20, 30, 31, 40, 41},
			Pos:    []int32{0, 1, 2, 0, 0, 1, 0, 1},
			Seqs:   []op.Seq{{Lo: 0, Hi: 3}, {Lo: 3, Hi: 4}, {Lo: 4, Hi: 6}, {Lo: 6, Hi: 8}},
		},
		Labels: []op.Label{{Row: 1, Token: 12, Weight: 1}, {Row: 2, Token: 13, Weight: 1}, {Row: 3, Token: 21, Weight: 0.5}, {Row: 6, Token: 41, Weight: 1}, {Row: 7, Token: 42, Weight: 1}},
		Weight: 4.5,
	}
	if !reflect.DeepEqual(b, want) {
		t.Errorf("packed\n%+v, want\n%+v", b, want)
	}
}

// numbered are n examples of one label each, of different lengths, told apart by their first token.
func numbered(n int) []Example {
	var es []Example
	for i := range n {
		e := Example{Tokens: make([]int32, 2+i%5), From: 1}
		e.Tokens[0] = int32(i)
		es = append(es, e)
	}
	return es
}

func first(passes []*Batch) (ids []int32) {
	for _, b := range passes {
		for _, s := range b.Seqs {
			ids = append(ids, b.Tokens[s.Lo])
		}
	}
	return ids
}

func TestLoader(t *testing.T) {
	l := &Loader{Examples: numbered(23), Batch: 5, Tokens: 12, Seed: 4}
	if n := l.StepsPerEpoch(); n != 4 {
		t.Errorf("%d steps an epoch, want 4: 23 examples, 5 a step", n)
	}
	var epochs [3][]int32
	for i := range 12 {
		passes := l.Step(i)
		ids := first(passes)
		if len(ids) != 5 {
			t.Errorf("step %d has %d examples", i, len(ids))
		}
		for _, b := range passes {
			// An input token fewer than each example has; a single example may be longer than a pass.
			if n := b.Rows() + len(b.Seqs); n > l.Tokens && len(b.Seqs) > 1 {
				t.Errorf("step %d: a pass of %d tokens, at most %d are wanted", i, n, l.Tokens)
			}
		}
		if again := first(l.Step(i)); !slices.Equal(again, ids) {
			t.Errorf("step %d is %v, then %v", i, ids, again)
		}
		if other := first((&Loader{Examples: l.Examples, Batch: 5, Tokens: 12, Seed: 4}).Step(i)); !slices.Equal(other, ids) {
			t.Errorf("step %d of another loader with the same seed is %v, not %v", i, other, ids)
		}
		epochs[i/4] = append(epochs[i/4], ids...)
	}
	for i, ids := range epochs {
		sorted := slices.Sorted(slices.Values(ids))
		if len(slices.Compact(sorted)) != 20 {
			t.Errorf("epoch %d shows an example twice: %v", i, ids)
		}
		if i > 0 && slices.Equal(ids, epochs[i-1]) {
			t.Errorf("epochs %d and %d have the same order", i-1, i)
		}
	}
	if slices.Equal(first((&Loader{Examples: l.Examples, Batch: 5, Tokens: 12, Seed: 5}).Step(0)), first(l.Step(0))) {
		t.Error("another seed gives the same step")
	}
}

func TestLoaderOfFewExamples(t *testing.T) {
	l := &Loader{Examples: numbered(3), Batch: 8, Tokens: 100}
	if n := l.StepsPerEpoch(); n != 1 {
		t.Errorf("%d steps an epoch, want 1", n)
	}
	for i := range 5 {
		if ids := slices.Sorted(slices.Values(first(l.Step(i)))); !slices.Equal(ids, []int32{0, 1, 2}) {
			t.Errorf("step %d shows %v, want all three", i, ids)
		}
	}
}

// TestChunks: every token but the first is a label exactly once, after the tokens before it in its chunk.
func TestChunks(t *testing.T) {
	for n := 0; n < 12; n++ {
		text := make([]int32, n)
		for i := range text {
			text[i] = int32(100 + i)
		}
		next := int32(101)
		for _, e := range Chunks(text, 4) {
			if len(e.Tokens) < 2 || len(e.Tokens) > 5 || e.From != 1 {
				t.Errorf("%d tokens: a chunk %+v", n, e)
			}
			for i := e.From; i < len(e.Tokens); i++ {
				if e.Tokens[i] != next || e.Tokens[i-1] != next-1 {
					t.Errorf("%d tokens: label %d after %d, want %d", n, e.Tokens[i], e.Tokens[i-1], next)
				}
				next++
			}
		}
		if want := int32(100 + max(n, 1)); next != want {
			t.Errorf("%d tokens: labels up to %d, want up to %d", n, next-1, want-1)
		}
	}
}

// TestMaxTokens: memory is foreseen for the largest pass there can be.
func TestMaxTokens(t *testing.T) {
	const most = 2048
	for _, c := range []struct{ longest, batch, want int }{{3000, 8, 3000}, {100, 8, 800}, {1000, 8, most}} {
		l := &Loader{Examples: []Example{{Tokens: make([]int32, 5)}, {Tokens: make([]int32, c.longest)}}, Batch: c.batch, Tokens: most}
		if got := l.MaxTokens(); got != c.want {
			t.Errorf("longest %d, %d a step: %d tokens, want %d", c.longest, c.batch, got, c.want)
		}
	}
}
