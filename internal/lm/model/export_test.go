package model

// PassBytes is the part of TrainBytes that a Run holds.
func (m *Model) PassBytes(tokens int) int { return m.passBytes(tokens) }
