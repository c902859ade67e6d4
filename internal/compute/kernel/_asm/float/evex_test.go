package main

import (
	"fmt"
	"testing"
)

// TestEVEX holds the encoding against GNU as 2.40: vdpbf16ps dst, src, operand.
func TestEVEX(t *testing.T) {
	for _, c := range []struct {
		dst, src  int
		broadcast int
		m         mem
		reg       int
		want      string
	}{
		{3, 2, 0, mem{}, 1, "62 f2 6e 48 52 d9"},
		{31, 17, 0, mem{}, 24, "62 02 76 40 52 f8"},
		{0, 12, 1, mem{base: "R8", disp: 4}, 0, "62 d2 1e 58 52 40 01"},
		{11, 12, 1, mem{"R11", "BX", 2, 12}, 0, "62 52 1e 58 52 5c 5b 03"},
		{20, 30, 1, mem{"R12", "R13", 8, 508}, 0, "62 82 0e 50 52 64 ec 7f"},
		{9, 0, 1, mem{base: "DI", disp: 8}, 0, "62 72 7e 58 52 4f 02"},
		{9, 0, 1, mem{base: "R12", disp: 8}, 0, "62 52 7e 58 52 4c 24 02"},
	} {
		if got := fmt.Sprintf("% x", evex(c.dst, c.src, c.broadcast, c.m, c.reg)); got != c.want {
			t.Errorf("Z%d, Z%d, %v or Z%d: % s, want %s", c.dst, c.src, c.m, c.reg, got, c.want)
		}
	}
}
