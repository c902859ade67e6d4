package jinja

// stmt is a node of a template's body.
type stmt interface {
	exec(m *machine) flow
}

// flow tells a loop how its body ended.
type flow uint8

const (
	next flow = iota
	breaks
	continues
)

type (
	dataStmt  struct{ s string }
	printStmt struct {
		x    expr
		line int
	}
	setStmt struct {
		to   target
		x    expr
		line int
	}
	setBlock struct {
		to      target
		filters []*filterExpr
		body    []stmt
		line    int
	}
	ifStmt struct {
		conds  []expr
		bodies [][]stmt // one more than conds where there is an else
	}
	forStmt struct {
		to     target
		in     expr
		filter expr // nil where the loop has no condition
		body   []stmt
		orElse []stmt
		line   int
	}
	flowStmt  struct{ to flow }
	macroStmt struct {
		name     string
		params   []string
		defaults []expr // of the last parameters
		body     []stmt
	}
	callStmt struct {
		f      *call
		caller *macroStmt
		line   int
	}
	filterBlock struct {
		filters []*filterExpr
		body    []stmt
	}
	withStmt struct {
		to   []target
		vals []expr
		body []stmt
	}
)

// target is what set and for assign to: a name, a namespace's member or a tuple of targets.
type target struct {
	name, member string
	tuple        []target
}

func (m *machine) body(body []stmt) flow {
	for _, s := range body {
		m.charge(1)
		if f := s.exec(m); f != next {
			return f
		}
	}
	return next
}

// scoped runs a body in a scope of its own.
func (m *machine) scoped(body []stmt) flow {
	outer := m.scope
	m.scope = &scope{parent: outer}
	f := m.body(body)
	m.scope = outer
	return f
}

// captured runs a body and gives what it printed.
func (m *machine) captured(body []stmt) (text, flow) {
	m.down()
	outer := m.out
	m.out = writer{}
	f := m.scoped(body)
	t := m.made(m.out.done())
	m.out = outer
	m.up()
	return t, f
}

func (m *machine) assign(t target, v any) {
	switch {
	case t.tuple != nil:
		items := m.iterate(v)
		m.charge(len(t.tuple) / valuesAStep)
		if len(items) != len(t.tuple) {
			m.fail("cannot unpack %d values into %d names", len(items), len(t.tuple))
		}
		for i, part := range t.tuple {
			m.assign(part, items[i])
		}
	case t.member != "":
		held, _ := m.get(t.name)
		ns, ok := held.(*namespace)
		if !ok {
			m.fail("cannot assign attribute on non-namespace object '%s'", t.name)
		}
		m.charge(len(t.member) / bytesAStep)
		ns.put(plain(t.member), v)
	default:
		m.set(t.name, v)
	}
}

func (s *dataStmt) exec(m *machine) flow {
	m.out.str(s.s)
	m.charge(len(s.s) / bytesAStep)
	m.checkOut()
	return next
}

func (m *machine) checkOut() {
	if len(m.out.buf) > MaxText {
		m.fail("result has more than %d bytes", MaxText)
	}
}

func (s *printStmt) exec(m *machine) flow {
	v := m.eval(s.x)
	m.line = s.line
	at := len(m.out.buf)
	m.print(&m.out, v)
	m.charge((len(m.out.buf) - at) / bytesAStep)
	m.checkOut()
	return next
}

func (s *setStmt) exec(m *machine) flow {
	v := m.eval(s.x)
	m.line = s.line
	m.assign(s.to, v)
	return next
}

func (s *setBlock) exec(m *machine) flow {
	t, f := m.captured(s.body)
	if f == next {
		v := m.filtered(s.filters, t)
		m.line = s.line
		m.assign(s.to, v)
	}
	return f
}

func (m *machine) filtered(filters []*filterExpr, v any) any {
	for _, f := range filters {
		v = f.apply(m, v)
	}
	return v
}

func (s *filterBlock) exec(m *machine) flow {
	t, f := m.captured(s.body)
	if f == next {
		m.print(&m.out, m.filtered(s.filters, t))
		m.checkOut()
	}
	return f
}

func (s *withStmt) exec(m *machine) flow {
	inner := &scope{parent: m.scope}
	for i, e := range s.vals {
		v := m.eval(e)
		outer := m.scope
		m.scope = inner
		m.assign(s.to[i], v)
		m.scope = outer
	}
	outer := m.scope
	m.scope = inner
	f := m.body(s.body)
	m.scope = outer
	return f
}

func (s *ifStmt) exec(m *machine) flow {
	for i, cond := range s.conds {
		if m.truth(m.eval(cond)) {
			return m.body(s.bodies[i])
		}
	}
	if len(s.bodies) > len(s.conds) {
		return m.body(s.bodies[len(s.conds)])
	}
	return next
}

func (s *flowStmt) exec(*machine) flow { return s.to }

// loop is the value of "loop" in a for.
type loop struct {
	items  []any
	index0 int
	depth  int
	seen   []any // by changed, nil before its first call
}

func (l *loop) member(m *machine, id string) (any, bool) {
	n := int64(len(l.items))
	i := int64(l.index0)
	switch id {
	case "index":
		return i + 1, true
	case "index0":
		return i, true
	case "revindex":
		return n - i, true
	case "revindex0":
		return n - i - 1, true
	case "first":
		return i == 0, true
	case "last":
		return i == n-1, true
	case "length":
		return n, true
	case "depth":
		return int64(l.depth), true
	case "depth0":
		return int64(l.depth - 1), true
	case "previtem":
		if i == 0 {
			return undefined{"there is no previous item"}, true
		}
		return l.items[i-1], true
	case "nextitem":
		if i == n-1 {
			return undefined{"there is no next item"}, true
		}
		return l.items[i+1], true
	case "cycle":
		return function(l.cycle), true
	case "changed":
		return function(l.changed), true
	}
	return nil, false
}

func (l *loop) cycle(m *machine, a args) any {
	if len(a.pos) == 0 {
		m.fail("no items for cycling given")
	}
	return a.pos[l.index0%len(a.pos)]
}

func (l *loop) changed(m *machine, a args) any {
	if l.seen != nil && m.equal(l.seen, a.pos) {
		return false
	}
	l.seen = append([]any{}, a.pos...)
	return true
}

func (s *forStmt) exec(m *machine) flow {
	v := m.eval(s.in)
	m.line = s.line
	items := m.iterate(v)
	outer := m.scope
	if s.filter != nil {
		var kept []any
		for _, item := range items {
			m.scope = &scope{parent: outer}
			m.assign(s.to, item)
			if m.truth(m.eval(s.filter)) {
				kept = append(kept, item)
			}
		}
		m.scope = outer
		items = kept
	}
	l := &loop{items: items, depth: 1}
	whole := false // a turn ran to its end: Jinja takes a loop of break and continue alone for an empty one
	for i, item := range items {
		m.charge(turnSteps)
		l.index0 = i
		m.scope = &scope{parent: outer}
		m.set("loop", l)
		m.line = s.line
		m.assign(s.to, item)
		end := m.body(s.body)
		if end == breaks {
			break
		}
		whole = whole || end == next
	}
	m.scope = outer
	if !whole {
		return m.scoped(s.orElse)
	}
	return next
}

// macro is a macro with the scope it was written in, or the body of a call block.
type macro struct {
	*macroStmt
	name  string
	scope *scope
}

func (s *macroStmt) exec(m *machine) flow {
	m.set(s.name, &macro{s, s.name, m.scope})
	return next
}

func (s *callStmt) exec(m *machine) flow {
	f := m.eval(s.f.f)
	a := m.args(s.f.args)
	m.line = s.line
	a.names, a.vals = append(a.names, "caller"), append(a.vals, &macro{s.caller, "caller", m.scope})
	m.print(&m.out, m.call(f, a))
	m.checkOut()
	return next
}

// run calls a macro. Parameters that were not given take their default, in the macro's own scope, or are undefined.
func (c *macro) run(m *machine, a args) any {
	if len(a.pos) > len(c.params) {
		m.fail("macro '%s' takes not more than %d argument(s)", c.name, len(c.params))
	}
	m.charge(callSteps + len(c.params)/valuesAStep)
	outer := m.scope
	m.scope = &scope{parent: c.scope}
	given := make([]bool, len(c.params))
	for i, v := range a.pos {
		m.set(c.params[i], v)
		given[i] = true
	}
	for i, id := range a.names {
		m.charge(comparing(id, len(c.params)))
		known := id == "caller"
		for k, p := range c.params {
			if p == id {
				if given[k] {
					m.fail("macro '%s' got two values for '%s'", c.name, id)
				}
				known, given[k] = true, true
			}
		}
		if !known {
			m.fail("macro '%s' takes no keyword argument '%s'", c.name, id)
		}
		m.set(id, a.vals[i])
	}
	for k, p := range c.params {
		if given[k] {
			continue
		}
		if d := k - len(c.params) + len(c.defaults); d >= 0 {
			m.set(p, m.eval(c.defaults[d]))
		} else {
			m.charge(len(p) / bytesAStep)
			m.set(p, undefined{"parameter '" + p + "' was not provided"})
		}
	}
	t, _ := m.captured(c.body)
	m.scope = outer
	return t
}
