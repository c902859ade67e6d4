package receipts

import (
	"fmt"
	"regexp"
	"strings"
)

// firm are words that companies have in their names and people do not.
var firm = regexp.MustCompile(`(?i)\bS/B\b|SDN|BHD|TRADING|ENTERPRISE|RESTA?U?RANT|CORNER|HARDWARE|STATION(E|A)RY|PHARMACY|MARKET|MART\b|STORES?\b|SHOP|CAFE|KITCHEN|BAKERY|SYARIKAT|PERNIAGAAN|KEDAI|RESTORAN|HOTEL|GROUP|\bCO\b|COMPANY|CENT(RE|ER)|HOUSE|BOOK|MACHINERY|AUTO|SERVICES?|INDUSTR|INTERNATIONAL|HOLDINGS|STUDIO|PLT\b|LTD|DELI|BISTRO|FOOD|TEA\b|COFFEE`)

// CheckCompany refuses a value that names no firm where one of the receipt's first ten lines does: recognition often puts the
// name of a customer or a chop before the shop's own.
func CheckCompany(text, value string) (ok bool, reason string) {
	if firm.MatchString(value) {
		return true, ""
	}
	for i, line := range strings.Split(text, "\n") {
		if i == 10 {
			break
		}
		if firm.MatchString(line) && !address.MatchString(line) {
			return false, fmt.Sprintf("%q names no firm, line %d does: %q", value, i+1, line)
		}
	}
	return true, ""
}

// address are words of a line that says where, not who.
var address = regexp.MustCompile(`(?i)JALAN|\bJLN|TAMAN|LORONG|LOT ?\d|^NO\.?[: ]*\d|FLOOR|\b\d{5}\b|SELANGOR|JOHOR|KUALA|LEVEL|BLOCK|PERSIARAN`)
