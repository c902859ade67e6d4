// Command float writes the float kernels in assembly: codes_amd64.s, gemm_amd64.s, pack_amd64.s and vec_amd64.s of
// package kernel, and tiles_amd64.go, which chooses between the shapes of gemm_amd64.s.
//
// The kernels differ by instruction set and tile shape alone, so each is written once with these as parameters.
// emit.go is the little that a text of Go assembly needs, evex.go encodes what Go's assembler does not know.
package main

import (
	"flag"
	"log"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("out", ".", "folder of package kernel")
	flag.Parse()
	for name, write := range map[string]func(*file){
		"codes_amd64.s":  writeCodes,
		"gemm_amd64.s":   writeGemm,
		"pack_amd64.s":   writePack,
		"vec_amd64.s":    writeVec,
		"tiles_amd64.go": writeTiles,
	} {
		f := newFile()
		if strings.HasSuffix(name, ".s") {
			f.b.WriteString("#include \"textflag.h\"\n")
		}
		write(f)
		if err := os.WriteFile(filepath.Join(*out, name), f.text(), 0o666); err != nil {
			log.Fatal(err)
		}
	}
}
