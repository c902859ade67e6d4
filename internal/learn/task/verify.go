package task

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"retort/internal/learn/task/mention"
	"retort/internal/learn/task/receipts"
)

// A Verdict is what one verifier says of one answer. Field is empty where the answer as a whole is meant. Suggest is a better
// value for Field where the verifier knows one from the text alone.
type Verdict struct {
	Check   string `json:"check"`
	Field   string `json:"field,omitempty"`
	OK      bool   `json:"ok"`
	Reason  string `json:"reason,omitempty"`
	Suggest string `json:"suggest,omitempty"`
	// Repaired says that the value was replaced by Suggest, as the recipe asks for with repair; OK is then true.
	Repaired bool `json:"repaired,omitempty"`
}

// A check looks at one parsed answer and appends a verdict per field it looks at. No check sees gold.
type check func(t *Task, c Check, it Item, fields Fields) []Verdict

// checks are the verifiers that a recipe may name, besides schema and agree, which see answers as text and all together.
var checks = map[string]check{
	"occurs":          checkOccurs,         // each field with occurs stands in the text
	"format":          checkFormat,         // each field with format or pattern is written so
	"differ":          checkDiffer,         // field and other differ
	"receipt_total":   checkReceiptTotal,   // the receipt's arithmetic supports field
	"receipt_company": checkReceiptCompany, // field names a firm where the receipt has one
}

// checkVerify refuses unknown verifiers and missing keys.
func (r *Recipe) checkVerify() error {
	for i, c := range r.Verify {
		key := fmt.Sprintf("verify[%d]", i)
		if c.Repair && c.Check != "receipt_total" {
			return fmt.Errorf("%s.repair: check %s knows no better value", key, c.Check)
		}
		switch c.Check {
		case "schema", "occurs", "format":
		case "agree":
			if !(c.Share > 0 && c.Share <= 1) {
				return fmt.Errorf("%s.share: %v, want above 0, at most 1", key, c.Share)
			}
		case "differ", "receipt_total", "receipt_company":
			names := []string{c.Field}
			if c.Check == "differ" {
				names = append(names, c.Other)
			}
			for _, name := range names {
				if _, ok := r.field(name); !ok {
					return fmt.Errorf("%s: check %s: %q is no field", key, c.Check, name)
				}
			}
		default:
			return fmt.Errorf("%s.check: %q, want one of: schema, occurs, format, agree, differ, receipt_total, receipt_company", key, c.Check)
		}
	}
	return nil
}

// A Verification is the outcome of all answers to one item. Answer is the canonical form of the answer to learn from, its values
// repaired and written as the text writes them where the recipe says repair and snap; it is empty unless OK.
type Verification struct {
	OK       bool      `json:"ok"`
	Answer   string    `json:"answer,omitempty"`
	Fields   Fields    `json:"fields,omitempty"` // of the most frequent parsed answer, also where it failed
	Verdicts []Verdict `json:"verdicts"`
}

// Verify judges a teacher's answers to one item, at least one, by the recipe's checks in their order. Several answers are
// reduced to the one that most of them agree on, compared loosely; ties go to the earlier answer.
func (t *Task) Verify(it Item, answers []string) Verification {
	parsed := make([]Fields, len(answers))
	votes := map[string]int{}
	best, bestAt := 0, -1
	for _, answer := range answers {
		if fields, err := t.Parse(answer); err == nil {
			votes[t.voteKey(fields)]++
		}
	}
	for i, answer := range answers {
		fields, err := t.Parse(answer)
		if err != nil {
			continue
		}
		parsed[i] = fields
		if n := votes[t.voteKey(fields)]; n > best {
			best, bestAt = n, i
		}
	}
	if bestAt < 0 {
		reason := "no answer"
		if len(answers) > 0 {
			_, err := t.Parse(answers[0])
			reason = err.Error()
		}
		return Verification{Verdicts: []Verdict{{Check: "parse", Reason: reason}}}
	}
	v := Verification{OK: true, Fields: parsed[bestAt]}
	v.Verdicts = append(v.Verdicts, Verdict{Check: "parse", OK: true})
	fields, repairs := t.repair(it, v.Fields)
	fields = t.Snap(it, fields)
	for _, c := range t.Recipe.Verify {
		if c.Repair {
			v.Verdicts = append(v.Verdicts, repairs[c]...)
			continue
		}
		v.Verdicts = append(v.Verdicts, t.verdicts(c, it, answers[bestAt], v.Fields, fields, float64(best)/float64(len(answers)))...)
	}
	for _, d := range v.Verdicts {
		v.OK = v.OK && d.OK
	}
	if v.OK {
		v.Answer = t.Answer(fields)
	}
	return v
}

// repair runs the checks that may replace a value by what they know from the text, before all others: those judge the
// repaired and snapped answer. The fields given stay as they are.
func (t *Task) repair(it Item, given Fields) (Fields, map[Check][]Verdict) {
	fields, verdicts := maps.Clone(given), map[Check][]Verdict{}
	for _, c := range t.Recipe.Verify {
		if !c.Repair {
			continue
		}
		out := checks[c.Check](t, c, it, fields)
		for i, d := range out {
			if d.Suggest != "" && d.Suggest != fields[d.Field] {
				fields[d.Field] = d.Suggest
				out[i].OK, out[i].Repaired = true, true
			}
		}
		verdicts[c] = out
	}
	return fields, verdicts
}

// verdicts runs a check on an answer of which given were read and fields are to be learned.
func (t *Task) verdicts(c Check, it Item, answer string, given, fields Fields, share float64) []Verdict {
	switch c.Check {
	case "schema":
		v := t.checkSchema(answer)
		if v.OK && !maps.Equal(given, fields) {
			v = t.checkSchema(t.Answer(fields)) // a value taken from the text may be too long
		}
		return []Verdict{v}
	case "agree":
		return []Verdict{{Check: "agree", OK: share >= c.Share-1e-9, Reason: fmt.Sprintf("%.0f %% of the answers agree, want %.0f %%", 100*share, 100*c.Share)}}
	}
	return checks[c.Check](t, c, it, fields)
}

// voteKey is equal for answers that are loosely equal in every field.
func (t *Task) voteKey(fields Fields) string {
	var b strings.Builder
	for _, f := range t.Recipe.Fields {
		if f.Grader == "exact" {
			b.WriteString(fields[f.Name])
		} else {
			b.WriteString(Loosen(fields[f.Name]))
		}
		b.WriteByte(0)
	}
	return b.String()
}

func (t *Task) checkSchema(answer string) Verdict {
	v := Verdict{Check: "schema"}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(unfence(answer))))
	if err == nil {
		err = t.schema.Validate(doc)
	}
	if v.OK = err == nil; !v.OK {
		// The library's first line only names the schema; the last one says what is wrong.
		lines := strings.Split(err.Error(), "\n")
		v.Reason = strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "- ")
	}
	return v
}

func checkOccurs(t *Task, _ Check, it Item, fields Fields) []Verdict {
	var out []Verdict
	for _, f := range t.Recipe.Fields {
		if f.Occurs == "" {
			continue
		}
		v := Verdict{Check: "occurs", Field: f.Name}
		value := fields[f.Name]
		switch folded := fold(value, f.Occurs); {
		case folded == "":
			v.OK, v.Reason = f.Empty, "empty"
		case strings.Contains(fold(it.Text, f.Occurs), folded):
			v.OK = true
		default:
			v.Reason = fmt.Sprintf("%q does not stand in the text", value)
		}
		out = append(out, v)
	}
	return out
}

// fold drops blanks (occurs: text) or all but letters and digits (occurs: letters) and folds case.
func fold(s, occurs string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || occurs == "letters" && !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

func checkFormat(t *Task, _ Check, _ Item, fields Fields) []Verdict {
	var out []Verdict
	for _, f := range t.Recipe.Fields {
		value := fields[f.Name]
		v := Verdict{Check: "format", Field: f.Name, OK: true}
		switch {
		case f.Format == "" && f.pattern == nil:
			continue
		case value == "":
			v.OK, v.Reason = f.Empty, "empty"
		case f.Format == "date":
			if _, ok := mention.Date(strings.Trim(value, "()")); !ok {
				v.OK, v.Reason = false, fmt.Sprintf("%q is no date", value)
			}
		case f.Format == "amount":
			if _, ok := mention.Amount(value); !ok {
				v.OK, v.Reason = false, fmt.Sprintf("%q is no amount", value)
			}
		}
		if v.OK && value != "" && f.pattern != nil && !f.pattern.MatchString(value) {
			v.OK, v.Reason = false, fmt.Sprintf("%q does not match %s", value, f.Pattern)
		}
		out = append(out, v)
	}
	return out
}

func checkDiffer(_ *Task, c Check, _ Item, fields Fields) []Verdict {
	v := Verdict{Check: "differ", Field: c.Field, OK: fields[c.Field] != fields[c.Other]}
	if !v.OK {
		v.Reason = fmt.Sprintf("%s and %s are both %q", c.Field, c.Other, fields[c.Field])
	}
	return []Verdict{v}
}

func checkReceiptTotal(_ *Task, c Check, it Item, fields Fields) []Verdict {
	ok, reason, suggest := receipts.CheckTotal(it.Text, fields[c.Field])
	return []Verdict{{Check: "receipt_total", Field: c.Field, OK: ok, Reason: reason, Suggest: suggest}}
}

func checkReceiptCompany(_ *Task, c Check, it Item, fields Fields) []Verdict {
	ok, reason := receipts.CheckCompany(it.Text, fields[c.Field])
	return []Verdict{{Check: "receipt_company", Field: c.Field, OK: ok, Reason: reason}}
}
