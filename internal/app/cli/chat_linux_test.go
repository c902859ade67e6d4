package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a program that runs in a pseudo-terminal of 80 columns and 24 rows.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd

	mu     sync.Mutex
	screen bytes.Buffer
	seen   int // of the screen by expect
}

func startTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = errors.Join(unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	term := &terminal{t: t, master: master, cmd: exec.Command("retort", args...)}
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = slave, slave, slave
	term.cmd.Env = append(os.Environ(), append(env, "NO_COLOR=1", "RETORT_HOME="+t.TempDir())...)
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go term.watch()
	t.Cleanup(func() { term.cmd.Process.Kill(); master.Close() })
	return term
}

func (x *terminal) watch() {
	buf := make([]byte, 4096)
	for {
		n, err := x.master.Read(buf)
		x.mu.Lock()
		x.screen.Write(buf[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) send(keys string) {
	x.t.Helper()
	if _, err := x.master.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

const patience = 20 * time.Second // the machine may be busy

// expect waits until text comes after what was expected before.
func (x *terminal) expect(text string) {
	x.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		x.mu.Lock()
		at := bytes.Index(x.screen.Bytes()[x.seen:], []byte(text))
		if at >= 0 {
			x.seen += at + len(text)
		}
		x.mu.Unlock()
		if at >= 0 {
			return
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.t.Fatalf("%q never came; the screen since then: %q", text, x.screen.Bytes()[x.seen:])
}

// exit waits for the end and demands its status.
func (x *terminal) exit(want int) {
	x.t.Helper()
	done := make(chan error, 1)
	go func() { done <- x.cmd.Wait() }()
	select {
	case <-done:
		if got := x.cmd.ProcessState.ExitCode(); got != want {
			x.t.Errorf("exit status %d, want %d", got, want)
		}
	case <-time.After(patience):
		x.t.Fatal("the program did not end")
	}
}

func TestChat(t *testing.T) {
	_, chatty := needTinyModels(t)
	x := startTerminal(t, nil, "run", chatty, "--temp", "0", "-n", "8", "--verbose")
	x.expect("context of 512 tokens")
	x.expect(">>> ")
	x.send("Lily saw a dog.\r")
	x.expect("cut at 8 tokens")
	x.expect(" 0 of them computed before")
	x.expect(">>> ")
	x.send("And then?\r") // the conversation so far is not computed again
	x.expect("cut at 8 tokens")
	x.mu.Lock()
	again := strings.Contains(x.screen.String()[x.seen:], ", 0 of them")
	x.mu.Unlock()
	if again {
		t.Error("the second turn computed the first again")
	}
	x.expect("of them computed before")
	x.expect(">>> ")
	x.send("\"\"\"one\rtwo\r\"\"\"\r")
	x.expect("... ")
	x.expect("cut at 8 tokens")
	x.expect(">>> ")
	x.send("/set parameter n 4\r")
	x.expect("n is 4")
	x.send("/set system Be brief.\r")
	x.expect("system message set")
	x.send("/set nothing\r")
	x.expect(`no setting "nothing"`)
	x.send("/show\r")
	x.expect("system message: Be brief.")
	x.expect("6 messages")
	x.send("/clear\r")
	x.expect("conversation cleared")
	x.send("/what\r")
	x.expect("no command /what")
	x.send("\x1b[A\x1b[A\r") // the one before
	x.expect("conversation cleared")
	x.send(strings.Repeat("word ", 600) + "\r")
	x.expect("tokens, the context holds 512")
	x.expect(">>> ")
	x.send("half a line\x03")
	x.expect(">>> ")
	x.send("\x03")
	x.expect("Ctrl-C again")
	x.send("\x03")
	x.exit(exitDone)
}

func TestChatEnds(t *testing.T) {
	_, chatty := needTinyModels(t)
	for name, c := range map[string]struct {
		keys   string
		signal os.Signal
		status int
	}{
		"bye": {"/bye\r", nil, exitDone}, "ctrl-d": {"\x04", nil, exitDone}, "sigterm": {"", syscall.SIGTERM, exitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			x := startTerminal(t, nil, "run", chatty)
			x.expect(">>> ")
			if x.send(c.keys); c.signal != nil {
				x.cmd.Process.Signal(c.signal)
			}
			x.exit(c.status)
		})
	}
}

// Ctrl-C stops an answer and not the program. The context is far larger than the tiny model can fill before the key
// comes; should it end by itself, it is asked again.
func TestChatStopsAnswer(t *testing.T) {
	_, chatty := needTinyModels(t)
	x := startTerminal(t, nil, "run", chatty, "--ctx", "200000", "--temp", "1.5")
	x.expect(">>> ")
	for range 3 {
		x.send("Go on and on.\r")
		x.expect("\n")
		time.Sleep(30 * time.Millisecond)
		x.send("\x03")
		x.expect(">>> ")
		time.Sleep(50 * time.Millisecond)
		x.mu.Lock()
		stopped := strings.Contains(x.screen.String(), "stopped")
		x.mu.Unlock()
		if stopped {
			x.send("\x15/bye\r")
			x.exit(exitDone)
			return
		}
	}
	t.Error("Ctrl-C stopped no answer")
}

// A single answer that is interrupted leaves what came so far and exits with 130.
func TestInterrupt(t *testing.T) {
	stories, _ := needTinyModels(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "retort", "run", stories, "--raw", "--ctx", "500000", "--temp", "0", "Once upon a time")
	cmd.Env = append(os.Environ(), "RETORT_HOME="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := out.Read(first); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(os.Interrupt)
	var rest bytes.Buffer
	rest.ReadFrom(out)
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != exitInterrupted {
		t.Errorf("exit status %d, want %d; standard error %q", got, exitInterrupted, stderr.String())
	}
	if !strings.HasSuffix(rest.String(), "\n") || !strings.Contains(stderr.String(), "retort: interrupted") {
		t.Errorf("standard output ends in %q, standard error is %q", rest.String()[max(0, rest.Len()-20):], stderr.String())
	}
}

// Lines break at blanks, however the words come.
func TestChatWraps(t *testing.T) {
	x := startTerminal(t, nil, "run", writeScripted(t)["WORDY"], "--temp", "0", "-n", "200")
	x.expect(">>> ")
	x.send("hello\r")
	x.expect("cut at 200 tokens")
	x.mu.Lock()
	defer x.mu.Unlock()
	lines := strings.Split(x.screen.String(), "\n")
	wrapped := 0
	for _, line := range lines {
		if strings.HasPrefix(line, "won") {
			wrapped++
		}
		if strings.HasPrefix(line, "der") || strings.HasPrefix(line, "ful") {
			t.Errorf("a word is broken before %q", line)
		}
	}
	if wrapped < 6 { // 50 words of ten columns
		t.Errorf("%d lines in %q, want 7", wrapped, x.screen.String())
	}
}

// A schema binds every answer of a chat, a context beyond the model's own is said, and what was said is kept.
func TestChatSchema(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	x := startTerminal(t, nil, "run", writeScripted(t)["SEVEN"], "--temp", "0", "--schema", `{"const": "yes"}`, "--ctx", "600", "--prompt-cache", kept)
	x.expect("note: --ctx is 600, the model was made for 512 tokens")
	x.expect(">>> ")
	x.send("hello\r")
	x.expect(`"yes"`)
	x.expect(">>> ")
	x.send("/set parameter n 2\r")
	x.expect("n is 2")
	x.send("again\r")
	x.expect("it is not yet what --schema wants")
	x.expect(">>> ")
	x.send("/set parameter top_p 0\r")
	x.expect("top_p is 0")
	x.send("/show\r")
	x.expect("top_p 0,")
	x.send("/bye\r")
	x.exit(exitDone)
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("the chat is not kept: %v", err)
	}
}

// At a terminal a prompt waits for no more text.
func TestPromptAtTerminal(t *testing.T) {
	x := startTerminal(t, nil, "run", writeScripted(t)["MARKED"], "hello", "--temp", "0")
	x.expect("Hiyou")
	x.exit(exitDone)
}

// The system message is what the model reads, and every answer has a seed of its own.
func TestChatSettings(t *testing.T) {
	x := startTerminal(t, nil, "run", writeScripted(t)["MARKED"], "--temp", "0", "--seed", "5", "--verbose")
	x.expect(">>> ")
	x.send("hello\r")
	x.expect("prompt 25 tokens")
	x.expect(">>> ")
	x.send("/clear\r")
	x.expect("conversation cleared")
	x.send("/set system Be brief.\r")
	x.expect("system message set")
	x.send("hello\r")
	x.expect("prompt 44 tokens")
	x.expect(">>> ")
	x.send("/show\r")
	x.expect("seed 7,")
	x.expect("of 512 tokens of context")
	x.send("/bye\r")
	x.exit(exitDone)
}
