package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
)

// chatSession is a conversation at a terminal. The engine keeps the keys and values of what was said, so that a turn
// computes only what is new.
type chatSession struct {
	o    *runOptions
	l    *loaded
	name string
	chat *chat.Chat
	held int            // tokens of the conversation
	msgs []chat.Message // without the system message
	edit *editor
	in   *os.File
	out  *os.File
}

// chat talks with the user until /bye, Ctrl-D or Ctrl-C twice.
func (o *runOptions) chat(ctx context.Context, l *loaded, name string, in, out *os.File) error {
	c, err := l.chat()
	if err != nil {
		return err
	}
	// Ctrl-C stops an answer and not the program, so only what ends programs ends this one.
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s := &chatSession{o: o, l: l, name: name, chat: c, edit: newEditor(in, out), in: in, out: out}
	fmt.Fprintf(out, "%s, context of %d tokens. %s\n", clean(name), o.ctx, dim(`/? for help, Ctrl-D to end`))
	for warned := false; ; {
		line, err := s.read(ctx)
		switch {
		case errors.Is(err, errInterrupt) && strings.TrimSpace(line) == "":
			if warned {
				return nil
			}
			warned = true
			fmt.Fprintln(out, "Ctrl-C again, Ctrl-D or /bye ends the chat")
			continue
		case errors.Is(err, errInterrupt):
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		warned = false
		bye, err := s.obey(ctx, line)
		if err != nil {
			printError(out, err)
		}
		if bye || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// read returns what the user enters: a line, or several between two """. Ctrl-C comes with the line it ended.
func (s *chatSession) read(ctx context.Context) (string, error) {
	const quotes = `"""`
	line, err := s.readLine(ctx, ">>> ")
	start := strings.TrimLeft(line, " \t")
	if err != nil || !strings.HasPrefix(start, quotes) {
		s.remember(line, err)
		return line, err
	}
	text := start[len(quotes):]
	for !strings.HasSuffix(strings.TrimRight(text, " \t"), quotes) {
		more, err := s.readLine(ctx, "... ")
		if err != nil {
			return text + more, err
		}
		text += "\n" + more
	}
	text = strings.Trim(strings.TrimSuffix(strings.TrimRight(text, " \t"), quotes), "\n")
	s.remember(quotes+text+quotes, nil)
	return quotes + text, nil
}

func (s *chatSession) remember(line string, err error) {
	if err == nil {
		s.edit.remember(line)
	}
}

// readLine reads one line with the terminal in raw mode; it gives up when ctx ends.
func (s *chatSession) readLine(ctx context.Context, prompt string) (string, error) {
	state, err := term.MakeRaw(int(s.in.Fd()))
	if err != nil {
		return "", err
	}
	defer term.Restore(int(s.in.Fd()), state)
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := s.edit.read(prompt, "... ")
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done(): // the process ends; the reader is left to it
		return "", ctx.Err()
	}
}

// obey does what a line says and tells whether it was the last.
func (s *chatSession) obey(ctx context.Context, line string) (bye bool, err error) {
	if text, quoted := strings.CutPrefix(line, `"""`); quoted {
		line = text // a command between quotes is text
	} else if strings.HasPrefix(strings.TrimSpace(line), "/") {
		return s.command(strings.TrimSpace(line))
	}
	if strings.TrimSpace(line) == "" {
		return false, nil
	}
	return false, s.turn(ctx, line)
}

// turn sends what the user said and shows the answer. The turn is kept as far as it came; where nothing came, it never
// was.
func (s *chatSession) turn(ctx context.Context, text string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	msgs := append(s.msgs[:len(s.msgs):len(s.msgs)], chat.Message{Role: "user", Content: text})
	ids, read, err := s.o.render(s.chat, s.withSystem(msgs))
	if err != nil {
		return err
	}
	req := s.o.request(s.l, ids)
	out := s.o.display(s.out)
	req.Progress = func(done, total int) { s.reading(done, total) }
	a, err := s.o.ask(ctx, s.l.engine, req, read, out.show)
	out.end()
	s.o.sampler.Seed++
	s.held = a.prompt + max(len(a.res.Tokens)-1, 0)
	if err != nil && a.res.Finish != finishInterrupted {
		return s.full(err)
	}
	if content := a.text.String(); content != "" || a.reasoning.Len() > 0 {
		s.msgs = append(msgs, chat.Message{Role: "assistant", Content: content, Reasoning: a.reasoning.String()})
	}
	switch {
	case err != nil:
		fmt.Fprintln(s.out, dim("stopped"))
	case a.res.Finish == generate.FinishLength && s.held >= s.o.ctx:
		fmt.Fprintln(s.out, dim(fmt.Sprintf("the context of %d tokens is full: /clear begins anew, --ctx makes room", s.o.ctx)))
	case a.res.Finish == generate.FinishLength:
		fmt.Fprintln(s.out, dim(fmt.Sprintf("cut at %d tokens", s.o.max)))
	}
	if s.o.verbose {
		r := a.result()
		fmt.Fprintln(s.out, dim(fmt.Sprintf("prompt %d tokens, %d of them computed before, %.1f tokens/s; answer %d tokens, %.1f tokens/s; context %d of %d",
			a.prompt, a.res.Reused, r.PrefillTPS, len(r.Tokens), r.DecodeTPS, s.held, s.o.ctx)))
	}
	return nil
}

// reading shows how far a long prompt is read, on a line that goes when it is done.
func (s *chatSession) reading(done, total int) {
	text := ""
	if done < total {
		text = dim(fmt.Sprintf("reading %d of %d tokens", done, total))
	}
	fmt.Fprintf(s.out, "\r\x1b[2K%s", text)
}

// full says in a chat's words that a turn does not fit.
func (s *chatSession) full(err error) error {
	var over *generate.ContextError
	if errors.As(err, &over) {
		return withHint(fmt.Errorf("the conversation would have %d tokens, the context holds %d", over.Tokens, over.Limit),
			"/clear begins anew; retort run --ctx %d or more makes room", over.Tokens)
	}
	return err
}

// withSystem puts the system message, if there is one, before msgs.
func (s *chatSession) withSystem(msgs []chat.Message) []chat.Message {
	if s.o.system == "" {
		return msgs
	}
	return append([]chat.Message{{Role: "system", Content: s.o.system}}, msgs...)
}
