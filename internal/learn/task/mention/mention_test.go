package mention

import "testing"

func TestDates(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"DATE: 30/09/2017 13:04", []string{"2017-09-30"}},
		{"30 DEC 17 and 10 MAR 2018", []string{"2017-12-30", "2018-03-10"}},
		{"March 14, 2026; 14th March 2026; Sept 1 2025", []string{"2026-03-14", "2026-03-14", "2025-09-01"}},
		{"2026-03-14, 14.03.26, 03/25/2018", []string{"2026-03-14", "2026-03-14", "2018-03-25"}},
		{"二〇二六年三月二十三日，2026年3月14日", []string{"2026-03-23", "2026-03-14"}},
		{"二〇二五年十二月十日", []string{"2025-12-10"}},
		{"31/02/2020 is none, nor 12345-6-7, nor 99.99", nil},
		{"GST 001371123712, 52100", nil},
	} {
		got := Dates(c.text)
		if len(got) != len(c.want) {
			t.Errorf("Dates(%q) = %v, want %v", c.text, got, c.want)
			continue
		}
		for i := range got {
			if got[i].Value != c.want[i] {
				t.Errorf("Dates(%q)[%d] = %v, want %v", c.text, i, got[i].Value, c.want[i])
			}
		}
	}
}

func TestAmounts(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"1,250.00", "1250.00"}, {"1250", "1250.00"}, {"35.5", "35.50"}, {"RM 616.60", "616.60"}, {"1.25万", "12500.00"},
		{"一千二百五十元", "1250.00"}, {"$ 7", "7.00"}, {"12 34", ""}, {"abc", ""}, {"", ""}, {"0.05", "0.05"},
	} {
		if got, _ := Amount(c.text); got != c.want {
			t.Errorf("Amount(%q) = %q, want %q", c.text, got, c.want)
		}
	}
	if got := Amounts("付了一千二百五十元现金"); len(got) != 1 || got[0].Value != "1250.00" {
		t.Errorf("Amounts = %v, want 1250.00", got)
	}
}

func TestChineseNumber(t *testing.T) {
	for s, want := range map[string]int{"十": 10, "二十三": 23, "两百": 200, "一千零五": 1005, "壹仟贰佰叁拾": 1230, "三万五千": 35000, "一百一十": 110} {
		if got, ok := ChineseNumber(s); !ok || got != want {
			t.Errorf("ChineseNumber(%q) = %d, %v, want %d", s, got, ok, want)
		}
	}
	if _, ok := ChineseNumber("a"); ok {
		t.Error("ChineseNumber(a) is a number")
	}
}

func FuzzMentions(f *testing.F) {
	f.Add("30/09/2017 RM 616.60 一千二百元 1.25万")
	f.Fuzz(func(t *testing.T, text string) {
		for _, found := range [][]Mention{Dates(text), Amounts(text)} {
			end := 0
			for _, m := range found {
				if m.Start < end || m.End <= m.Start || m.End > len(text) || m.Value == "" {
					t.Fatalf("mention %+v after %d in %d bytes", m, end, len(text))
				}
				end = m.End
			}
		}
	})
}
