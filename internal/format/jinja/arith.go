package jinja

import (
	"math"
	"math/bits"
)

// arithmetic is Python's, on 64-bit integers: what does not fit is refused.

func (e *sign) eval(m *machine) any {
	v := m.eval(e.x)
	m.line = e.line
	m.defined(v)
	if i, ok := integer(v); ok {
		if e.op == "+" {
			return i
		}
		if i == math.MinInt64 {
			m.tooLarge()
		}
		return -i
	}
	f, ok := v.(float64)
	if !ok {
		m.fail("bad operand type for unary %s: '%s'", e.op, typeName(v))
	}
	if e.op == "-" {
		return -f
	}
	return f
}

func (m *machine) tooLarge() { m.fail("integers of more than 64 bits are not supported") }

// defined refuses undefined values.
func (m *machine) defined(v any) {
	if u, ok := v.(undefined); ok {
		m.fail("%s", u.what)
	}
}

func (e *arith) eval(m *machine) any {
	x, y := m.eval(e.x), m.eval(e.y)
	m.line = e.line
	return m.binary(e.op, x, y)
}

func (m *machine) binary(op string, x, y any) any {
	m.defined(x)
	m.defined(y)
	i, oki := integer(x)
	j, okj := integer(y)
	if oki && okj {
		return m.ints(op, i, j)
	}
	f, okf := number(x)
	g, okg := number(y)
	if okf && okg {
		return m.floats(op, f, g)
	}
	switch op {
	case "+":
		if v, ok := m.joined(x, y); ok {
			return v
		}
	case "*":
		if okj {
			if v, ok := m.repeated(x, j); ok {
				return v
			}
		}
		if oki {
			if v, ok := m.repeated(y, i); ok {
				return v
			}
		}
	case "%":
		if t, ok := isText(x); ok {
			return m.percent(t, y)
		}
	}
	m.fail("unsupported operand type(s) for %s: '%s' and '%s'", op, typeName(x), typeName(y))
	return nil
}

func (m *machine) ints(op string, i, j int64) any {
	switch op {
	case "+":
		if s := i + j; (s > i) == (j > 0) {
			return s
		}
	case "-":
		if d := i - j; (d < i) == (j > 0) {
			return d
		}
	case "*":
		if p, ok := product(i, j); ok {
			return p
		}
	case "/":
		if j == 0 {
			m.fail("division by zero")
		}
		return float64(i) / float64(j)
	case "//", "%":
		if j == 0 {
			m.fail("integer division or modulo by zero")
		}
		if i == math.MinInt64 && j == -1 {
			break
		}
		q, r := i/j, i%j
		if r != 0 && (r < 0) != (j < 0) { // Python rounds down, Go towards zero
			q, r = q-1, r+j
		}
		if op == "%" {
			return r
		}
		return q
	case "**":
		if j < 0 {
			return m.floats(op, float64(i), float64(j))
		}
		if p, ok := power(i, j); ok {
			return p
		}
	}
	m.tooLarge()
	return nil
}

func product(i, j int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(i), magnitude(j))
	negative := (i < 0) != (j < 0)
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	if negative {
		return -int64(lo), true
	}
	return int64(lo), true
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

func power(i, j int64) (int64, bool) {
	p := int64(1)
	switch {
	case j == 0 || i == 1:
		return 1, true
	case i == 0:
		return 0, true
	case i == -1:
		return 1 - 2*(j&1), true
	}
	for ; j > 0; j-- { // at most 63 turns before it no longer fits
		var ok bool
		if p, ok = product(p, i); !ok {
			return 0, false
		}
	}
	return p, true
}

func (m *machine) floats(op string, f, g float64) any {
	switch op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	case "**":
		if f == 0 && g < 0 {
			m.fail("0.0 cannot be raised to a negative power")
		}
		p := math.Pow(f, g)
		if p != p && f == f && g == g {
			m.fail("complex numbers are not supported")
		}
		return p
	}
	if g == 0 {
		m.fail("division by zero")
	}
	if op == "/" {
		return f / g
	}
	r := math.Mod(f, g)
	if r != 0 && (r < 0) != (g < 0) {
		r += g
	}
	if op == "%" {
		return r
	}
	return math.Floor((f - r) / g)
}

// joined is x + y of two strings, lists or tuples.
func (m *machine) joined(x, y any) (any, bool) {
	switch x := x.(type) {
	case text:
		if y, ok := y.(text); ok {
			if x.data == nil && y.data == nil {
				return m.made(plain(x.s + y.s)), true
			}
			w := writer{buf: make([]byte, 0, len(x.s)+len(y.s))}
			w.text(x)
			w.text(y)
			return m.made(w.done()), true
		}
	case []any:
		if y, ok := y.([]any); ok {
			m.charge((len(x) + len(y)) / valuesAStep)
			return append(x[:len(x):len(x)], y...), true
		}
	case tuple:
		if y, ok := y.(tuple); ok {
			m.charge((len(x) + len(y)) / valuesAStep)
			return append(x[:len(x):len(x)], y...), true
		}
	}
	return nil, false
}

// repeated is v * n of a string, a list or a tuple.
func (m *machine) repeated(v any, n int64) (any, bool) {
	size, ok := m.size(v)
	if t, isT := isText(v); isT {
		size = len(t.s)
	}
	n = max(n, 0)
	if size == 0 {
		n = 0
	}
	if ok && size > 0 && n > int64(MaxText/size) {
		m.fail("text or list has more than %d elements", MaxText)
	}
	switch v := v.(type) {
	case text:
		m.charge(int(n) * (len(v.data) + 1))
		var w writer
		for ; n > 0 && size > 0; n-- {
			w.text(v)
		}
		return m.made(w.done()), true
	case []any:
		m.charge(int(n) * size / valuesAStep)
		out := []any{}
		for ; n > 0 && size > 0; n-- {
			out = append(out, v...)
		}
		return out, true
	case tuple:
		m.charge(int(n) * size / valuesAStep)
		out := tuple{}
		for ; n > 0 && size > 0; n-- {
			out = append(out, v...)
		}
		return out, true
	}
	return nil, false
}
