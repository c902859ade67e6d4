package chat

// jsonScan reads one JSON value (RFC 8259) byte by byte, so that a call's arguments can be handed on as they come and
// end where their value ends, whatever mark a string in them may spell. The zero value stands before a value.
type jsonScan struct {
	state jsonState
	open  []byte // brackets that are open: { or [
	key   bool   // the string at hand is a key
	rest  string // of true, false, null, or hexadecimal digits still to come
}

type jsonState byte

const (
	beforeValue jsonState = iota
	beforeFirst           // behind [: a value or ]
	beforeKey             // behind { or a comma: a key
	beforeColon
	behindValue // a comma or a closing bracket, or the end
	inString
	inEscape
	inHex
	inWord // true, false, null
	minus  // these and what follows are inside a number, behind what they name
	zero
	digits
	point
	fraction
	exponent
	exponentSign
	exponentDigits
)

// maxDepth of arguments leaves room for what stands around them in a conversation; see jinja.MaxNesting.
const maxDepth = 64

// scanned is what a byte did.
type scanned int

const (
	more   scanned = iota
	ended          // the byte ends the value
	passed         // the value, a number, ended before the byte, which is not part of it
	invalid
)

func isJSONSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// step takes the next byte. Behind anything but more the scan is over.
func (j *jsonScan) step(b byte) scanned {
	switch j.state {
	case inString, inEscape, inHex:
		return j.string(b)
	case inWord:
		if b != j.rest[0] {
			return invalid
		}
		if j.rest = j.rest[1:]; j.rest == "" {
			return j.finish()
		}
		return more
	case minus, zero, digits, point, fraction, exponent, exponentSign, exponentDigits:
		return j.number(b)
	}
	if isJSONSpace(b) {
		return more
	}
	switch j.state {
	case beforeFirst:
		if b == ']' {
			return j.close('[')
		}
		return j.value(b)
	case beforeValue:
		return j.value(b)
	case beforeKey:
		if b == '"' {
			j.state, j.key = inString, true
			return more
		}
		// A closing bracket may follow its opening one, no comma.
		if b == '}' && j.rest == "{" {
			return j.close('{')
		}
	case beforeColon:
		if b == ':' {
			j.state = beforeValue
			return more
		}
	case behindValue:
		return j.behind(b)
	}
	return invalid
}

func (j *jsonScan) value(b byte) scanned {
	switch {
	case b == '{' || b == '[':
		if len(j.open) == maxDepth {
			return invalid
		}
		j.open = append(j.open, b)
		j.state = beforeFirst
		if b == '{' {
			j.state, j.rest = beforeKey, "{"
		}
	case b == '"':
		j.state, j.key = inString, false
	case b == 't':
		j.state, j.rest = inWord, "rue"
	case b == 'f':
		j.state, j.rest = inWord, "alse"
	case b == 'n':
		j.state, j.rest = inWord, "ull"
	case b == '-':
		j.state = minus
	case b == '0':
		j.state = zero
	case '1' <= b && b <= '9':
		j.state = digits
	default:
		return invalid
	}
	return more
}

// behind takes what follows a value inside of brackets.
func (j *jsonScan) behind(b byte) scanned {
	switch in := j.open[len(j.open)-1]; {
	case b == ',' && in == '{':
		j.state, j.rest = beforeKey, ""
	case b == ',':
		j.state = beforeValue
	case b == '}':
		return j.close('{')
	case b == ']':
		return j.close('[')
	default:
		return invalid
	}
	return more
}

func (j *jsonScan) close(bracket byte) scanned {
	if j.open[len(j.open)-1] != bracket {
		return invalid
	}
	j.open = j.open[:len(j.open)-1]
	return j.finish()
}

// finish is behind a value.
func (j *jsonScan) finish() scanned {
	j.state = behindValue
	if len(j.open) == 0 {
		return ended
	}
	return more
}

func (j *jsonScan) string(b byte) scanned {
	switch j.state {
	case inEscape:
		switch b {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			j.state = inString
		case 'u':
			j.state, j.rest = inHex, "0000"
		default:
			return invalid
		}
		return more
	case inHex:
		if !('0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'f') {
			return invalid
		}
		if j.rest = j.rest[1:]; j.rest == "" {
			j.state = inString
		}
		return more
	}
	switch {
	case b == '\\':
		j.state = inEscape
	case b < ' ':
		return invalid
	case b == '"' && j.key:
		j.state = beforeColon
	case b == '"':
		return j.finish()
	}
	return more
}

func (j *jsonScan) number(b byte) scanned {
	digit := '0' <= b && b <= '9'
	switch s := j.state; {
	case s == minus && b == '0':
		j.state = zero
	case s == minus && digit, s == digits && digit:
		j.state = digits
	case (s == zero || s == digits) && b == '.':
		j.state = point
	case (s == point || s == fraction) && digit:
		j.state = fraction
	case (s == zero || s == digits || s == fraction) && b|0x20 == 'e':
		j.state = exponent
	case s == exponent && (b == '+' || b == '-'):
		j.state = exponentSign
	case (s == exponent || s == exponentSign || s == exponentDigits) && digit:
		j.state = exponentDigits
	case s == minus || s == point || s == exponent || s == exponentSign:
		return invalid
	case len(j.open) == 0:
		return passed
	default:
		j.state = behindValue
		if isJSONSpace(b) {
			return more
		}
		return j.behind(b)
	}
	return more
}
