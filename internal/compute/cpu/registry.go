package cpu

import "strings"

// Implementation is one registered way to compute a group of kernels.
type Implementation struct {
	Name   string // "group/level", such as "gemm/avx512"
	Toggle *bool  // true while the group may choose it; read by the kernels on each call
}

// Group returns the part of the name before the slash: what is computed.
func (i Implementation) Group() string { return i.Name[:strings.IndexByte(i.Name, '/')] }

// Level returns the part of the name behind the slash: what the processor must have.
func (i Implementation) Level() string { return i.Name[strings.IndexByte(i.Name, '/')+1:] }

var registered []Implementation

// Register makes an implementation known under "group/level". toggle says whether this processor can run it; one that
// is false at registration is not available and is not recorded. A group registers its best level first, and its
// kernels choose the first level whose toggle is true, plain Go if there is none.
//
// Call it from init. The way of doing it is that of Go's crypto/internal/impl.
func Register(name string, toggle *bool) {
	group, level, ok := strings.Cut(name, "/")
	if !ok || group == "" || level == "" {
		panic("cpu: Register: name " + name + ", want group/level")
	}
	for _, i := range registered {
		if i.Name == name {
			panic("cpu: Register: " + name + " twice")
		}
	}
	if *toggle {
		registered = append(registered, Implementation{name, toggle})
	}
}

// Implementations returns the available implementations in order of registration. It is for tests.
func Implementations() []Implementation {
	return append([]Implementation(nil), registered...)
}

// Kernels returns the implementations in use, one "group/level" for each group that has more than plain Go.
func Kernels() []string {
	var names []string
	seen := map[string]bool{}
	for _, i := range registered {
		if *i.Toggle && !seen[i.Group()] {
			seen[i.Group()] = true
			names = append(names, i.Name)
		}
	}
	return names
}
