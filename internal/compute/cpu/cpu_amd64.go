//go:build !purego

package cpu

import "strings"

// cpuid and xgetbv are instructions that Go has no words for.
//
//go:noescape
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

//go:noescape
func xgetbv() (eax, edx uint32)

// Bits of XCR0: the register files that the operating system saves.
const (
	xcr0AVX    = 1<<1 | 1<<2                  // xmm, ymm
	xcr0AVX512 = xcr0AVX | 1<<5 | 1<<6 | 1<<7 // masks, upper halves, zmm16-31
	xcr0AMX    = 1<<17 | 1<<18                // tile configuration, tile data
)

func init() {
	maxLeaf, ebx, ecx, edx := cpuid(0, 0)
	switch text(ebx, edx, ecx) {
	case "AuthenticAMD", "HygonGenuine":
		X86.AMD = true
	case "GenuineIntel":
		X86.Intel = true
	}
	name = brand()

	_, _, ecx1, _ := cpuid(1, 0)
	if maxLeaf < 7 || !bit(ecx1, 27) { // OSXSAVE
		return
	}
	low, _ := xgetbv()
	saves := func(set uint32) bool { return low&set == set }

	maxSub, ebx7, ecx7, edx7 := cpuid(7, 0)
	var eax71 uint32
	if maxSub >= 1 {
		eax71, _, _, _ = cpuid(7, 1)
	}
	avx := saves(xcr0AVX) && bit(ecx1, 28)
	X86.FMA = avx && bit(ecx1, 12)
	X86.F16C = avx && bit(ecx1, 29)
	X86.AVX2 = avx && bit(ebx7, 5)
	X86.AVXVNNI = X86.AVX2 && bit(eax71, 4)
	X86.GFNI = X86.AVX2 && bit(ecx7, 8)

	X86.AVX512 = X86.AVX2 && saves(xcr0AVX512) &&
		bit(ebx7, 16) && bit(ebx7, 17) && bit(ebx7, 28) && bit(ebx7, 30) && bit(ebx7, 31) // F DQ CD BW VL
	X86.AVX512VBMI = X86.AVX512 && bit(ecx7, 1)
	X86.AVX512VNNI = X86.AVX512 && bit(ecx7, 11)
	X86.AVX512BF16 = X86.AVX512 && bit(eax71, 5)

	X86.AMXTile = saves(xcr0AMX) && bit(edx7, 24)
	X86.AMXBF16 = X86.AMXTile && bit(edx7, 22)
	X86.AMXInt8 = X86.AMXTile && bit(edx7, 25)
}

func bit(word uint32, i uint) bool { return word>>i&1 == 1 }

// text reads words as ASCII, least byte first.
func text(words ...uint32) string {
	var s []byte
	for _, w := range words {
		s = append(s, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	return strings.TrimSpace(strings.TrimRight(string(s), "\x00"))
}

func brand() string {
	if last, _, _, _ := cpuid(0x80000000, 0); last < 0x80000004 {
		return ""
	}
	var words []uint32
	for leaf := uint32(0x80000002); leaf <= 0x80000004; leaf++ {
		a, b, c, d := cpuid(leaf, 0)
		words = append(words, a, b, c, d)
	}
	return text(words...)
}
