package receipts

import (
	"strings"
	"testing"
)

func TestParseBox(t *testing.T) {
	got, err := ParseBox([]byte("1,2,3,4,5,6,7,8,NO.2, JALAN ,X\r\n\r\n1,2,3,4,5,6,7,8,\n1,2,3,4,5,6,7,8,LAST"))
	if err != nil || got != "NO.2, JALAN ,X\nLAST" {
		t.Errorf("ParseBox = %q, %v", got, err)
	}
	for in, want := range map[string]string{
		"1,2,3":                "line 1: 2 commas",
		"1,2,3,4,5,6,7,x,TEXT": "line 1: coordinate",
		"\xff":                 "not UTF-8",
	} {
		if _, err := ParseBox([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseBox(%q) = %v, want %q", in, err, want)
		}
	}
}

func TestCheckTotal(t *testing.T) {
	const text = "ITEM\n15.50\n31.20\nSUBTOTAL :\n31.22\nROUNDING :\n-0.02\nTOTAL :\n31.20\nCASH :\n50.00\nCHANGE :\n18.80"
	for value, want := range map[string]bool{"31.20": true, "RM 31.20": true, "50.00": false, "18.80": false, "31.22": false, "99.99": false, "": false, "x": false} {
		ok, reason, suggest := CheckTotal(text, value)
		if ok != want || reason == "" {
			t.Errorf("CheckTotal(%q) = %v, %q, want %v", value, ok, reason, want)
		}
		if !ok && strings.Contains(value, ".") && suggest != "31.20" {
			t.Errorf("CheckTotal(%q) suggests %q, want 31.20", value, suggest)
		}
	}
	// Labels in a block before their amounts, as recognition often orders them.
	const block = "TOTAL INCL. GST@6%\nCASH\nCHANGE\nRM 57.40\nRM 100.00\nRM 42.60"
	if ok, reason, _ := CheckTotal(block, "57.40"); !ok {
		t.Errorf("CheckTotal of a block of labels: %s", reason)
	}
	if ok, _, _ := CheckTotal("TEA\n1.20\nBUN\n3.40", "3.40"); ok {
		t.Error("CheckTotal passes an amount that nothing supports")
	}
}

func TestCheckCompany(t *testing.T) {
	const text = "TAN CHAY YEE\nABC HO TRADING\nNO.2, JALAN HARMONI"
	if ok, _ := CheckCompany(text, "TAN CHAY YEE"); ok {
		t.Error("a person's name passes where the next line is a firm")
	}
	if ok, _ := CheckCompany(text, "ABC HO TRADING"); !ok {
		t.Error("the firm is refused")
	}
	if ok, _ := CheckCompany("YAM FRESH\n12 JALAN SHOP", "YAM FRESH"); !ok {
		t.Error("a name is refused where no line names a firm")
	}
}

func FuzzParseBox(f *testing.F) {
	f.Add([]byte("1,2,3,4,5,6,7,8,NO.2, JALAN\r\n"))
	f.Add([]byte("\ufeff1,2,3,4,5,6,7,8,TOTAL : 1,007.50"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := ParseBox(b)
		if err != nil {
			return
		}
		if len(text) > len(b) {
			t.Fatalf("%d bytes of text from %d", len(text), len(b))
		}
		Rules(text)
		if total := SuggestTotal(text); total != "" {
			if ok, reason, _ := CheckTotal(text, total); !ok {
				t.Fatalf("the suggestion %q is refused: %s", total, reason)
			}
		}
	})
}
