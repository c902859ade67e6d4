package jinja

import (
	"fmt"
	"strings"
)

// parser follows jinja2.parser, with the tags that transformers' environment knows.
type parser struct {
	toks  []token
	pos   int
	depth int
	loops int // open for tags, which break and continue need
	macro bool
}

func (p *parser) failAt(t token, format string, a ...any) {
	panic(&Error{Line: t.line, Msg: fmt.Sprintf(format, a...)})
}

func (p *parser) down() {
	p.depth++
	if p.depth > 3*MaxNesting { // an expression in a bracket takes up to three levels
		p.failAt(p.at(), "template is nested more than %d deep", MaxNesting)
	}
}

func (p *parser) up() { p.depth-- }

func (p *parser) at() token { return p.toks[p.pos] }

func (p *parser) peek() token { return p.toks[min(p.pos+1, len(p.toks)-1)] }

func (p *parser) next() token {
	t := p.toks[p.pos]
	if t.kind != tokEOF {
		p.pos++
	}
	return t
}

func (p *parser) isName(s string) bool { return p.at().kind == tokName && p.at().s == s }

func (p *parser) isOp(s string) bool { return p.at().kind == tokOp && p.at().s == s }

func (p *parser) skipName(s string) bool {
	ok := p.isName(s)
	if ok {
		p.next()
	}
	return ok
}

func (p *parser) skipOp(s string) bool {
	ok := p.isOp(s)
	if ok {
		p.next()
	}
	return ok
}

func (p *parser) wantOp(s string) {
	if !p.skipOp(s) {
		p.failAt(p.at(), "expected '%s', got %v", s, p.at())
	}
}

func (p *parser) wantName() string {
	t := p.next()
	if t.kind != tokName {
		p.failAt(t, "expected a name, got %v", t)
	}
	return t.s
}

func (p *parser) wantEnd() {
	if t := p.next(); t.kind != tokBlockEnd {
		p.failAt(t, "expected '%%}', got %v", t)
	}
}

func (p *parser) template() []stmt {
	body := p.body()
	if t := p.at(); t.kind != tokEOF {
		p.failAt(t, "unexpected tag '%s'", t.s)
	}
	return body
}

// body reads up to one of the tags in ends, whose name is then at hand, or to the end of the template.
func (p *parser) body(ends ...string) []stmt {
	p.down()
	defer p.up()
	var out []stmt
	for {
		switch t := p.next(); t.kind {
		case tokData:
			out = append(out, &dataStmt{t.s})
		case tokVarBegin:
			out = append(out, &printStmt{p.tuple(true, false), t.line})
			if end := p.next(); end.kind != tokVarEnd {
				p.failAt(end, "expected '}}', got %v", end)
			}
		case tokBlockBegin:
			if p.at().kind != tokName {
				p.failAt(p.at(), "expected the name of a tag, got %v", p.at())
			}
			for _, end := range ends {
				if p.isName(end) {
					return out
				}
			}
			if s := p.statement(ends); s != nil {
				out = append(out, s)
			}
		case tokEOF:
			if len(ends) > 0 {
				p.failAt(t, "template ends where '%s' is expected", strings.Join(ends, "' or '"))
			}
			return out
		}
	}
}

func (p *parser) statement(ends []string) stmt {
	t := p.next()
	switch t.s {
	case "for":
		return p.forTag(t.line)
	case "if":
		return p.ifTag()
	case "set":
		return p.setTag(t.line)
	case "macro":
		return p.macroTag()
	case "call":
		return p.callTag(t.line)
	case "filter":
		return p.filterTag()
	case "with":
		return p.withTag()
	case "generation":
		return p.generationTag()
	case "break", "continue":
		if p.loops == 0 {
			p.failAt(t, "'%s' outside of a loop", t.s)
		}
		p.wantEnd()
		if t.s == "break" {
			return &flowStmt{breaks}
		}
		return &flowStmt{continues}
	case "block", "extends", "include", "import", "from", "autoescape", "do", "print", "trans", "debug":
		p.failAt(t, "tag '%s' is not supported", t.s)
	}
	if strings.HasPrefix(t.s, "end") || strings.HasPrefix(t.s, "el") {
		want := "none is open"
		if len(ends) > 0 {
			want = "expected '" + strings.Join(ends, "' or '") + "'"
		}
		p.failAt(t, "unexpected tag '%s', %s", t.s, want)
	}
	p.failAt(t, "unknown tag '%s'", t.s)
	return nil
}

// closed reads a body, its end tag and that tag's end.
func (p *parser) closed(end string) []stmt {
	body := p.body(end)
	p.next()
	p.wantEnd()
	return body
}

// apart reads the body of a function: no loop around it can be left from inside.
func (p *parser) apart(end string) []stmt {
	loops := p.loops
	p.loops = 0
	body := p.closed(end)
	p.loops = loops
	return body
}

// target reads what is assigned to: names, maybe in parentheses, with commas between them.
func (p *parser) target(member bool) target {
	p.down()
	defer p.up()
	t := target{}
	for {
		part := target{}
		if p.skipOp("(") {
			part = p.target(false)
			p.wantOp(")")
		} else {
			at := p.at()
			part.name = p.wantName()
			if strings.Contains(" true false none True False None ", " "+part.name+" ") {
				p.failAt(at, "cannot assign to '%s'", part.name)
			}
			if member && p.skipOp(".") {
				part.member = p.wantName()
			}
		}
		if !p.isOp(",") {
			if t.tuple == nil {
				return part
			}
			t.tuple = append(t.tuple, part)
			return t
		}
		p.next()
		t.tuple = append(t.tuple, part)
		if p.isOp("=") || p.isName("in") || p.isOp(")") {
			return t
		}
	}
}

func (p *parser) forTag(line int) stmt {
	f := &forStmt{line: line, to: p.target(false)}
	if !p.skipName("in") {
		p.failAt(p.at(), "expected 'in', got %v", p.at())
	}
	f.in = p.tuple(false, false)
	if p.skipName("if") {
		f.filter = p.expression(true)
	}
	if p.isName("recursive") {
		p.failAt(p.at(), "recursive loops are not supported")
	}
	p.wantEnd()
	p.loops++
	f.body = p.body("endfor", "else")
	p.loops--
	if p.next().s == "else" {
		p.wantEnd()
		f.orElse = p.closed("endfor")
		return f
	}
	p.wantEnd()
	return f
}

func (p *parser) ifTag() stmt {
	s := &ifStmt{}
	for {
		s.conds = append(s.conds, p.tuple(false, false))
		p.wantEnd()
		s.bodies = append(s.bodies, p.body("elif", "else", "endif"))
		switch p.next().s {
		case "elif":
			continue
		case "else":
			p.wantEnd()
			s.bodies = append(s.bodies, p.closed("endif"))
			return s
		}
		p.wantEnd()
		return s
	}
}

func (p *parser) setTag(line int) stmt {
	to := p.target(true)
	if p.skipOp("=") {
		s := &setStmt{to, p.tuple(true, false), line}
		p.wantEnd()
		return s
	}
	filters := p.filterChain()
	p.wantEnd()
	return &setBlock{to, filters, p.closed("endset"), line}
}

// filterChain reads "| a | b(c)".
func (p *parser) filterChain() []*filterExpr {
	var out []*filterExpr
	for p.isOp("|") {
		out = append(out, p.filter())
	}
	return out
}

func (p *parser) filterTag() stmt {
	filters := append([]*filterExpr{p.filter()}, p.filterChain()...)
	p.wantEnd()
	return &filterBlock{filters, p.closed("endfilter")}
}

// signature reads a macro's parameters in parentheses.
func (p *parser) signature(s *macroStmt) {
	p.wantOp("(")
	for !p.skipOp(")") {
		if len(s.params) > 0 {
			p.wantOp(",")
			if p.skipOp(")") {
				return
			}
		}
		s.params = append(s.params, p.wantName())
		if p.skipOp("=") {
			s.defaults = append(s.defaults, p.expression(true))
		} else if len(s.defaults) > 0 {
			p.failAt(p.at(), "a parameter without a default follows one with it")
		}
	}
}

func (p *parser) macroTag() stmt {
	s := &macroStmt{name: p.wantName()}
	p.signature(s)
	p.wantEnd()
	outer := p.macro
	p.macro = true
	s.body = p.apart("endmacro")
	p.macro = outer
	return s
}

func (p *parser) callTag(line int) stmt {
	s := &callStmt{caller: &macroStmt{name: "caller"}, line: line}
	if p.isOp("(") {
		p.signature(s.caller)
	}
	at := p.at()
	f, ok := p.expression(true).(*call)
	if !ok {
		p.failAt(at, "expected a call")
	}
	p.wantEnd()
	s.f = f
	s.caller.body = p.apart("endcall")
	return s
}

// generationTag reads transformers' own tag, which marks an assistant's words for training: the words stay, the
// tag goes. Names set in it stay inside, for it is a call block there.
func (p *parser) generationTag() stmt {
	p.wantEnd()
	return &withStmt{body: p.apart("endgeneration")}
}

func (p *parser) withTag() stmt {
	s := &withStmt{}
	for p.at().kind != tokBlockEnd {
		if len(s.to) > 0 {
			p.wantOp(",")
		}
		t := target{name: p.wantName()}
		p.wantOp("=")
		s.to, s.vals = append(s.to, t), append(s.vals, p.expression(true))
	}
	p.wantEnd()
	s.body = p.closed("endwith")
	return s
}
