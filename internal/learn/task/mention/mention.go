// Package mention finds dates and amounts of money in running text and gives them one spelling each.
//
// It knows styles of writing, not tasks: which date or amount is the right one is for its callers to say. Open date.go
// first.
package mention

// A Mention is a place in a text and what is written there. Start and End are byte offsets; Value is the normal form:
// YYYY-MM-DD for a date, digits with two decimals for an amount.
type Mention struct {
	Start, End int
	Value      string
}
