package tokenizer

// part is a stretch of text while it is being merged: a link of a list in one slice.
type part struct {
	prev, next int32 // indices, -1 at the ends
	start      int32 // in bytes
	n          int32 // in bytes; 0 when it was merged into the one before
	id         int32
}

// candidate is two neighbours that may become one. The least key goes first: the rank in the high half, then the
// leftmost. size tells a stale candidate: one of the two has grown since, or is gone.
type candidate struct {
	key  uint64
	size int32
	id   int32 // what they become
}

// joiner says whether two neighbours may become one, which symbol that is, and how early: the least rank first.
type joiner func(left, right *part) (rank uint32, id int32, ok bool)

// mergeAll joins neighbours until none may be joined, always the pair of the least rank, of equals the leftmost. It takes
// O(n log n): a queue holds the candidates, of which a merge makes at most two.
func mergeAll(parts []part, queue []candidate, join joiner) []candidate {
	queue = queue[:0]
	push := func(l, r int32) {
		if l < 0 || r < 0 {
			return
		}
		left, right := &parts[l], &parts[r]
		if rank, id, ok := join(left, right); ok {
			queue = append(queue, candidate{uint64(rank)<<32 | uint64(uint32(l)), left.n + right.n, id})
			siftUp(queue)
		}
	}
	for i := range parts[1:] {
		push(int32(i), int32(i)+1)
	}
	for len(queue) > 0 {
		c := queue[0]
		last := len(queue) - 1
		queue[0] = queue[last]
		queue = queue[:last]
		siftDown(queue)
		l := int32(uint32(c.key))
		left := &parts[l]
		if left.n == 0 || left.next < 0 || left.n+parts[left.next].n != c.size {
			continue
		}
		right := &parts[left.next]
		left.n, left.id, left.next = c.size, c.id, right.next
		right.n = 0
		if left.next >= 0 {
			parts[left.next].prev = l
		}
		push(left.prev, l)
		push(l, left.next)
	}
	return queue
}

// siftUp restores the heap after the last element was added.
func siftUp(q []candidate) {
	i := len(q) - 1
	c := q[i]
	for i > 0 {
		parent := (i - 1) / 2
		if q[parent].key <= c.key {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = c
}

// siftDown restores the heap after the first element was replaced.
func siftDown(q []candidate) {
	if len(q) == 0 {
		return
	}
	c := q[0]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].key < q[child].key {
			child++
		}
		if c.key <= q[child].key {
			break
		}
		q[i] = q[child]
		i = child
	}
	q[i] = c
}

// scratch is what an Encode needs and the next can use again.
type scratch struct {
	parts []part
	queue []candidate
	ids   []int32
	pairs []uint64
	cache [cacheSlots]cached
}

const (
	cacheSlots = 16384 // 64 bytes each
	cachedIDs  = 9
	cachedWord = 23 // bytes
)

// cached is the ids of a short word, where its hash puts it. Most words of a text were there a moment ago.
type cached struct {
	key [cachedWord + 1]byte // the word, zeros, and its length
	n   int32
	ids [cachedIDs]int32
}

// slot returns the place of word in the cache, and whether its ids are there; nil where the word is too long.
func (s *scratch) slot(word string) (c *cached, hit bool) {
	if len(word) > cachedWord {
		return nil, false
	}
	var key [cachedWord + 1]byte
	copy(key[:], word)
	key[cachedWord] = byte(len(word))
	h := uint64(0)
	for i := 0; i < len(key); i += 8 {
		w := uint64(key[i]) | uint64(key[i+1])<<8 | uint64(key[i+2])<<16 | uint64(key[i+3])<<24 |
			uint64(key[i+4])<<32 | uint64(key[i+5])<<40 | uint64(key[i+6])<<48 | uint64(key[i+7])<<56
		h = (h ^ w) * 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	c = &s.cache[h%cacheSlots]
	if c.key == key {
		return c, true
	}
	return c, false
}

// store puts ids into the slot that slot returned for word.
func (c *cached) store(word string, ids []int) {
	if c == nil || len(ids) > cachedIDs {
		return
	}
	clear(c.key[:])
	copy(c.key[:], word)
	c.key[cachedWord] = byte(len(word))
	c.n = int32(len(ids))
	for i, id := range ids {
		c.ids[i] = int32(id)
	}
}

// append appends the ids of a hit.
func (c *cached) append(dst []int) []int {
	for _, id := range c.ids[:c.n] {
		dst = append(dst, int(id))
	}
	return dst
}
