// Package cpu says what the processor can do and which kernel implementations are in use because of it.
//
// It decides nothing by a timing: the same machine always gets the same kernels, so that results repeat from run to
// run. Kernels register themselves with Register; tests switch them through Implementations (numtest.EachImpl).
// Open cpu_amd64.go for the detection, registry.go for the registry.
package cpu

// X86 holds what an x86-64 processor and its operating system offer; every field is false elsewhere and under the tag
// purego.
//
// A field is true only if the operating system also saves the registers concerned (XGETBV).
var X86 struct {
	AMD, Intel bool // the maker, as CPUID leaf 0 names it

	AVX2, FMA, F16C bool
	AVX512          bool // F, BW, CD, DQ and VL together: every server core since Skylake-SP
	AVX512VBMI      bool
	AVX512VNNI      bool
	AVX512BF16      bool
	AVXVNNI         bool // VNNI in VEX encoding, ymm only
	GFNI            bool
	AMXTile         bool // tile registers; the process must still ask Linux for permission (arch_prctl)
	AMXInt8         bool
	AMXBF16         bool
}

// name is the processor's brand string; empty where it is not known.
var name string

// Name returns the processor's brand string, or the maker-less "unknown".
func Name() string {
	if name == "" {
		return "unknown"
	}
	return name
}

// Features returns the features of X86 that are present, in the spelling of /proc/cpuinfo; nil if none.
func Features() []string {
	var names []string
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx2", X86.AVX2},
		{"fma", X86.FMA},
		{"f16c", X86.F16C},
		{"avx512", X86.AVX512},
		{"avx512_vbmi", X86.AVX512VBMI},
		{"avx512_vnni", X86.AVX512VNNI},
		{"avx512_bf16", X86.AVX512BF16},
		{"avx_vnni", X86.AVXVNNI},
		{"gfni", X86.GFNI},
		{"amx_tile", X86.AMXTile},
		{"amx_int8", X86.AMXInt8},
		{"amx_bf16", X86.AMXBF16},
	} {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}
