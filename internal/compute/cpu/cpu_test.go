package cpu

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFeaturesAgreeWithKernel holds the detection against Linux's own, where /proc/cpuinfo tells it.
func TestFeaturesAgreeWithKernel(t *testing.T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Skip(err)
	}
	line := regexp.MustCompile(`(?m)^flags\s*:(.*)$`).FindSubmatch(info)
	if line == nil || len(Features()) == 0 {
		t.Skip("no x86 flags, or built without detection")
	}
	flags := strings.Fields(string(line[1]))
	for _, name := range []string{"avx2", "fma", "f16c", "avx512_vnni", "avx512_bf16", "avx512vbmi", "gfni",
		"amx_tile", "amx_int8", "amx_bf16", "avx_vnni"} {
		ours := name
		if name == "avx512vbmi" {
			ours = "avx512_vbmi"
		}
		if got, want := slices.Contains(Features(), ours), slices.Contains(flags, name); got != want {
			t.Errorf("%s: detected %v, /proc/cpuinfo says %v", name, got, want)
		}
	}
	if got, want := X86.AMD, strings.Contains(string(info), "AuthenticAMD"); got != want {
		t.Errorf("AMD %v, /proc/cpuinfo says %v", got, want)
	}
	if got, want := X86.Intel, strings.Contains(string(info), "GenuineIntel"); got != want {
		t.Errorf("Intel %v, /proc/cpuinfo says %v", got, want)
	}
	if !strings.Contains(string(info), Name()) {
		t.Errorf("name %q is not in /proc/cpuinfo", Name())
	}
}

func TestRegistry(t *testing.T) {
	defer func(old []Implementation) { registered = old }(registered)
	registered = nil
	best, second, absent, other := true, true, false, true
	Register("sum/wide", &best)
	Register("sum/narrow", &second)
	Register("sum/none", &absent)
	Register("pack/narrow", &other)

	check := func(want ...string) {
		t.Helper()
		if got := Kernels(); !slices.Equal(got, want) {
			t.Errorf("Kernels() = %v, want %v", got, want)
		}
	}
	check("sum/wide", "pack/narrow")
	best = false
	check("sum/narrow", "pack/narrow")
	second, other = false, false
	check()
	if got := len(Implementations()); got != 3 {
		t.Errorf("%d implementations, want the 3 that are available", got)
	}
	for _, bad := range []string{"sum", "/wide", "sum/", "sum/wide"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Register(%q) did not panic", bad)
				}
			}()
			ok := true
			Register(bad, &ok)
		}()
	}
}
