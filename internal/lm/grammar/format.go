package grammar

import (
	"fmt"
	"sync"
)

// formats gives each supported format as a pattern. Each admits only values of the format, but not all of them:
// date-time and time know no leap second and write T and Z in upper case; email has plain atoms (local part of at most 64
// characters, domain of at most 187) and neither quotes nor address literals.
var formats = map[string]string{
	"date":      `^` + date + `$`,
	"time":      `^` + clock + `$`,
	"date-time": `^` + date + `T` + clock + `$`,
	"uuid":      `^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`,
	"ipv4":      `^` + octet + `(\.` + octet + `){3}$`,
	"email":     `^` + atext + `{1,16}(\.` + atext + `{1,15}){0,3}@` + label + `(\.` + label + `){0,3}$`,
}

const (
	date = `(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))` +
		`|(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)`
	clock = `([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+\-]([01]\d|2[0-3]):[0-5]\d)`
	octet = `(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])`
	atext = `[A-Za-z0-9!#$%&'*+\/=?^_{|}~\-` + "`]"
	label = `[A-Za-z0-9]([A-Za-z0-9\-]{0,44}[A-Za-z0-9])?`
)

var formatDFAs sync.Map // name -> *dfa

// formatDFA is the automaton of a format, made once a process.
func formatDFA(name string) (*dfa, error) {
	if d, ok := formatDFAs.Load(name); ok {
		return d.(*dfa), nil
	}
	pattern, ok := formats[name]
	if !ok {
		return nil, fmt.Errorf("format %q is not supported", name)
	}
	e, err := parsePattern(pattern)
	if err != nil {
		return nil, err
	}
	d, err := newDFA(e, newBudget())
	if err == nil {
		formatDFAs.Store(name, d)
	}
	return d, err
}
