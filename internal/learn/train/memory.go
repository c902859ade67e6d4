package train

import (
	"retort/internal/learn/data"
	"retort/internal/lm/model"
)

// recomputeAbove is from how many bytes on activations are computed again instead of kept.
const recomputeAbove = 4.5e9

// Fit sets m.Recompute where training on what l gives would take too much memory, which changes no result. It returns how
// many bytes training will then take, as model.TrainBytes estimates them.
func Fit(m *model.Model, l *data.Loader) int64 {
	rows := l.MaxTokens()
	m.Recompute = false
	m.Recompute = m.TrainBytes(rows) > recomputeAbove
	return int64(m.TrainBytes(rows))
}
