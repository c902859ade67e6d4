package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"retort": func() { os.Exit(Run(os.Args[1:])) }})
}

// TestScripts runs testdata/script/*.txt: command, expected output, exit status. A script that needs the tiny real
// model begins with [!stories] skip; $STORIES is its file then. $THINKER and others are those of scriptedModels.
func TestScripts(t *testing.T) {
	stories, chatty := tinyModels(t)
	files := writeScripted(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("RETORT_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("STORIES", stories)
			env.Setenv("CHATTY", chatty)
			env.Setenv("NO_COLOR", "1")
			for name, file := range files {
				env.Setenv(name, file)
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "stories" {
				return stories != "", nil
			}
			return false, fmt.Errorf("no condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "cut": cut, "hex": writeHex, "split": split},
	})
}

// exits runs a command and demands its exit status: exits 2 retort run
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND ARG…")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
	if all := ts.ReadFile("stderr"); strings.Contains(all, "panic:") || strings.Contains(all, "goroutine ") {
		ts.Fatalf("the program broke: %s", all)
	}
}

// cut writes the first bytes of a file: cut SRC DST BYTES
func cut(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	b, err := os.ReadFile(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b[:n], 0o666))
}

// writeHex writes bytes: hex DST 47475546 03…
func writeHex(ts *testscript.TestScript, neg bool, args []string) {
	b, err := hex.DecodeString(strings.Join(args[1:], ""))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o666))
}
