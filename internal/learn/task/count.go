package task

import "slices"

// A Count says how often one verifier passed and refused an answer.
type Count struct {
	Check  string `json:"check"`
	Passed int    `json:"passed"`
	Failed int    `json:"failed"`
	First  int    `json:"first"` // answers for which this was the first verifier to refuse
	// Repaired are those of Passed whose value was replaced by a better one from the text.
	Repaired int `json:"repaired,omitempty"`
}

// CountVerdicts counts per verifier over many items, in the order in which verifiers first appear. A verifier that looks at
// several fields of an answer passes if it passes all of them.
func CountVerdicts(all []Verification) []Count {
	var out []Count
	for _, v := range all {
		refused := false
		for _, group := range byCheck(v.Verdicts) {
			i := slices.IndexFunc(out, func(c Count) bool { return c.Check == group[0].Check })
			if i < 0 {
				out = append(out, Count{Check: group[0].Check})
				i = len(out) - 1
			}
			out[i].Repaired += len(slices.DeleteFunc(slices.Clone(group), func(d Verdict) bool { return !d.Repaired }))
			switch ok := !slices.ContainsFunc(group, func(d Verdict) bool { return !d.OK }); {
			case ok:
				out[i].Passed++
			case !refused:
				refused = true
				out[i].First++
				fallthrough
			default:
				out[i].Failed++
			}
		}
	}
	return out
}

// byCheck groups verdicts of one verifier, which stand together.
func byCheck(verdicts []Verdict) [][]Verdict {
	var out [][]Verdict
	for i, d := range verdicts {
		if i == 0 || d.Check != verdicts[i-1].Check {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], d)
	}
	return out
}
