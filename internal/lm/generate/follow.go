package generate

// Following: where two prompts begin alike and the first is being read, the second waits and takes over its pages, so that
// what they have in common is computed once. A leader joined before those who follow it: there are no circles.

const leadLeast = 32 // tokens that another must be about to compute to be worth waiting for

// follow finds who is about to compute what t begins with: one that joined before it.
func (e *Engine) follow(t *timeline) {
	t.lead, t.common = nil, t.cache.Len+leadLeast-1
	for _, o := range e.active {
		if o == t {
			return
		}
		if o.reading() {
			if n := commonPrefix(o.tokens, t.tokens[:len(t.tokens)-1]); n > t.common && n > o.cache.Len {
				t.lead, t.common = o, n
			}
		}
	}
}

// leader returns whose prompt must be read before t can go on: t itself, or the one it waits for. A leader that made way and
// came back stands behind t, and leads it no more.
func (e *Engine) leader(t *timeline) *timeline {
	for t.lead != nil {
		l := t.lead
		if l.active && l.joined < t.joined && l.reading() && l.cache.Len < t.common {
			return e.leader(l)
		}
		e.adopt(t)
		e.follow(t)
	}
	return t
}
