package grammar

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// A frame is one entry of a stack: a call, a loop or a counted automaton that is under way. Where readings of one text
// differ only in what lies below, one frame stands for all of them: parents has the frame below in each. So readings
// that stay ambiguous through recursion do not multiply. Equal frames are one pointer.
type frame struct {
	parents *links // nil at the bottom
	node    int32
	count   int32 // rounds of the loop, or characters of the automaton, that are complete
	depth   int32 // of the deepest stack, this frame included; 0 at the bottom
	id      int32 // in order of making

	alone *links // this frame and no other; nil: not asked for yet
}

// links is a set of frames, no two with the same node and count, in that order. Equal sets are one pointer.
type links struct {
	frames []*frame
	depth  int32
	id     int32
}

type frameKey struct{ parents, node, count int32 }

// stacks holds the frames of a machine.
type stacks struct {
	bottom *frame // of every stack
	frames map[frameKey]*frame
	sets   map[string]*links
	unions map[[2]int32]*links // of sets of which the first has the lower id
	bytes  int                 // of all these, about
	key    []byte              // scratch
}

func newStacks() stacks {
	return stacks{bottom: &frame{node: -1}, frames: map[frameKey]*frame{}, sets: map[string]*links{}, unions: map[[2]int32]*links{}}
}

func compareFrames(a, b *frame) int {
	return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.count, b.count))
}

func (k *stacks) push(node, count int32, parents *links) *frame {
	key := frameKey{parents.id, node, count}
	if f, ok := k.frames[key]; ok {
		return f
	}
	f := &frame{parents: parents, node: node, count: count, depth: parents.depth + 1, id: int32(len(k.frames) + 1)}
	k.frames[key] = f
	k.bytes += 128
	return f
}

func (k *stacks) alone(f *frame) *links {
	if f.alone == nil {
		f.alone = k.linked([]*frame{f})
	}
	return f.alone
}

// linked returns the set of frames that are in order already.
func (k *stacks) linked(frames []*frame) *links {
	k.key = k.key[:0]
	depth := int32(0)
	for _, f := range frames {
		k.key = binary.LittleEndian.AppendUint32(k.key, uint32(f.id))
		depth = max(depth, f.depth)
	}
	if s, ok := k.sets[string(k.key)]; ok {
		return s
	}
	s := &links{frames: slices.Clone(frames), depth: depth, id: int32(len(k.sets) + 1)}
	k.sets[string(k.key)] = s
	k.bytes += 128 + 12*len(frames)
	return s
}

// union is the set of the stacks of both.
func (k *stacks) union(a, b *links) *links {
	if a == b {
		return a
	}
	if a.id > b.id {
		a, b = b, a
	}
	key := [2]int32{a.id, b.id}
	if s, ok := k.unions[key]; ok {
		return s
	}
	var all []*frame
	x, y := a.frames, b.frames
	for len(x) > 0 && len(y) > 0 {
		switch order := compareFrames(x[0], y[0]); {
		case order < 0:
			all, x = append(all, x[0]), x[1:]
		case order > 0:
			all, y = append(all, y[0]), y[1:]
		default:
			all, x, y = append(all, k.merge(x[0], y[0])), x[1:], y[1:]
		}
	}
	s := k.linked(append(append(all, x...), y...))
	k.unions[key] = s
	k.bytes += 64
	return s
}

// merge is the frame of the stacks of both, which have the same node and count.
func (k *stacks) merge(a, b *frame) *frame {
	if a == b {
		return a
	}
	return k.push(a.node, a.count, k.union(a.parents, b.parents))
}

// rebuild maps a frame and all below it into these stacks, by a rule that may give each another count. done holds what
// was mapped before: stacks share much.
func (k *stacks) rebuild(f *frame, done map[*frame]*frame, count func(*frame) int32) *frame {
	if f.parents == nil {
		return k.bottom
	}
	if to, ok := done[f]; ok {
		return to
	}
	var parents *links
	for _, p := range f.parents.frames {
		one := k.alone(k.rebuild(p, done, count))
		if parents == nil {
			parents = one
		} else {
			parents = k.union(parents, one)
		}
	}
	to := k.push(f.node, count(f), parents)
	done[f] = to
	return to
}
