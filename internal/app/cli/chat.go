package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/session"
)

// chatSession is a conversation at a terminal. The engine keeps the keys and values of what was said, so that a turn
// computes only what is new.
type chatSession struct {
	o      *runOptions
	model  *opened
	name   string
	tokens []int32        // of the conversation
	msgs   []chat.Message // without the system message
	edit   *editor
	in     *os.File
	out    *os.File
}

// talk chats with the user, and keeps what was said if that is wanted.
func (o *runOptions) talk(ctx context.Context, m *opened, name string, in, out *os.File) error {
	if _, err := m.Chat(); err != nil {
		return explain(err, m)
	}
	s := &chatSession{o: o, model: m, name: name, edit: newEditor(in, out), in: in, out: out}
	err := s.loop(ctx)
	return errors.Join(err, o.keep(ctx, m, s.tokens))
}

// loop takes turns until /bye, Ctrl-D or Ctrl-C twice.
func (s *chatSession) loop(ctx context.Context) error {
	// Ctrl-C stops an answer and not the program, so only what ends programs ends this one.
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	fmt.Fprintf(s.out, "%s, context of %d tokens. %s\n", clean(s.name), s.model.Limit(), dim(`/? for help, Ctrl-D to end`))
	for warned := false; ; {
		line, err := s.read(ctx)
		switch {
		case errors.Is(err, errInterrupt) && strings.TrimSpace(line) == "":
			if warned {
				return nil
			}
			warned = true
			fmt.Fprintln(s.out, "Ctrl-C again, Ctrl-D or /bye ends the chat")
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
			printError(s.out, err)
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
	r := s.o.request()
	r.Messages = s.o.messages(msgs...)
	a, err := s.model.Start(ctx, r)
	if err != nil {
		return s.explain(err)
	}
	out := s.o.display(s.out)
	for e := range a.Events() {
		if e.Kind == session.Progress {
			s.reading(e.Done, e.Total)
		}
		out.event(e)
	}
	out.end()
	res, err := a.Wait()
	s.tokens = slices.Concat(a.Prompt(), res.Tokens)
	s.o.sampler.Seed++
	var cut *session.CutError
	if err != nil && res.Finish != session.FinishInterrupted && !errors.As(err, &cut) {
		return s.explain(err)
	}
	if res.Text != "" || res.Reasoning != "" {
		s.msgs = append(msgs, chat.Message{Role: "assistant", Content: res.Text, Reasoning: res.Reasoning})
	}
	s.sayEnd(res, err)
	return nil
}

// sayEnd says what the user should know of an answer's end, and its figures if they are wanted.
func (s *chatSession) sayEnd(res session.Result, err error) {
	switch {
	case res.Finish == session.FinishInterrupted:
		fmt.Fprintln(s.out, dim("stopped"))
	case res.Full:
		fmt.Fprintln(s.out, dim(fmt.Sprintf("the context of %d tokens is full: /clear begins anew, --ctx makes room", s.model.Limit())))
	case res.Finish == session.FinishLength:
		fmt.Fprintln(s.out, dim(fmt.Sprintf("cut at %d tokens", s.o.max)))
	}
	if err != nil && res.Finish == session.FinishLength {
		fmt.Fprintln(s.out, dim("it is not yet what --schema wants"))
	}
	if s.o.verbose {
		r := summary(res)
		fmt.Fprintln(s.out, dim(fmt.Sprintf("prompt %d tokens, %d of them computed before, %.1f tokens/s; answer %d tokens, %.1f tokens/s; context %d of %d",
			r.PromptTokens, r.CachedTokens, r.PrefillTPS, len(r.Tokens), r.DecodeTPS, len(s.tokens), s.model.Limit())))
	}
}

// reading shows how far a long prompt is read, on a line that goes when it is done.
func (s *chatSession) reading(done, total int) {
	text := ""
	if done < total {
		text = dim(fmt.Sprintf("reading %d of %d tokens", done, total))
	}
	fmt.Fprintf(s.out, "\r\x1b[2K%s", text)
}

// explain says in a chat's words why there is no answer.
func (s *chatSession) explain(err error) error {
	var over *generate.ContextError
	if errors.As(err, &over) {
		return withHint(fmt.Errorf("the conversation would have %d tokens, the context holds %d", over.Tokens, over.Limit),
			"/clear begins anew; retort run --ctx %d or more makes room", over.Tokens)
	}
	return explain(err, s.model)
}
