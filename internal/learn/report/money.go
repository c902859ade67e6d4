package report

import "retort/internal/learn/cost"

// Money is what making the student cost and when that is earned back, in dollars.
type Money struct {
	Once        float64 `json:"once"`                 // machine time of all phases that made the student
	OnceSeconds float64 `json:"once_seconds"`         // the machine time in it
	KWh         float64 `json:"kwh,omitempty"`        // of that time, where the machine's draw is known
	BreakEven   float64 `json:"break_even,omitempty"` // items after which Once is earned back; 0 if never or not known
	Cheaper     float64 `json:"cheaper,omitempty"`    // teacher's price over student's
	Faster      float64 `json:"faster,omitempty"`     // teacher's mean time over student's
	// TokensPerSecond is how fast the student wrote its answers in the exam, prompts read included; Hosted compares it with a
	// hosted model's price.
	TokensPerSecond float64  `json:"tokens_per_second,omitempty"`
	PerMillion      float64  `json:"per_million,omitempty"` // dollars for a million of the student's answer tokens, at full use
	Hosted          []Hosted `json:"hosted,omitempty"`
}

// Hosted is the speed from which this machine, always busy, writes tokens for less than a hosted model asks.
type Hosted struct {
	Model    string  `json:"model"`
	Output   float64 `json:"output"` // dollars per million
	SpeedFor float64 `json:"speed_for"`
}

func (r *Report) money() Money {
	m, out := r.Manifest, Money{}
	for _, p := range m.Phases {
		if p.Once {
			out.OnceSeconds += p.Seconds
		}
	}
	hour := m.Prices.Machine.Hour
	out.Once = cost.Seconds(hour, out.OnceSeconds)
	out.KWh = m.Prices.Machine.Watts * out.OnceSeconds / 3600 / 1000
	teacher, haveTeacher := r.Role(RoleTeacher)
	student, haveStudent := r.Role(RoleStudent)
	if haveTeacher && haveStudent {
		if student.MeanMS > 0 {
			out.Faster = teacher.MeanMS / student.MeanMS
		}
		if student.PerThousand > 0 {
			out.Cheaper = teacher.PerThousand / student.PerThousand
		}
		out.BreakEven, _ = cost.BreakEven(out.Once, teacher.PerThousand/1000, student.PerThousand/1000)
	}
	if seconds := student.MeanMS * float64(student.Items) / 1000; seconds > 0 && student.AnswerTokens > 0 {
		out.TokensPerSecond = float64(student.AnswerTokens) / seconds
		out.PerMillion = cost.PerMillion(hour, out.TokensPerSecond, 1)
		for _, p := range m.Prices.Models {
			if p.Output > 0 {
				out.Hosted = append(out.Hosted, Hosted{p.Model, p.Output, cost.SpeedFor(hour, p.Output)})
			}
		}
	}
	return out
}
