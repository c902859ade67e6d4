package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"retort/internal/lm/chat"
)

// chatHelp is what /? shows.
const chatHelp = `/set system TEXT            what the model shall be; empty for nothing
/set parameter NAME VALUE   temp, top_k, top_p, min_p, repeat_penalty, seed, n
/set think|nothink          think before an answer, or not; think low|medium|high
/set showthinking|hidethinking
/set verbose|quiet          tokens and speed after each answer
/clear                      forget the conversation
/show                       the model, the settings and how full the context is
/bye                        end, as Ctrl-D does
"""                         begins and ends a text of several lines
Ctrl-C stops an answer. Arrow keys edit the line and bring back earlier ones.`

// command obeys a line that begins with a slash.
func (s *chatSession) command(line string) (bye bool, err error) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "/bye", "/exit", "/quit":
		return true, nil
	case "/?", "/help":
		fmt.Fprintln(s.out, chatHelp)
	case "/clear":
		s.msgs, s.tokens = nil, nil
		fmt.Fprintln(s.out, dim("conversation cleared"))
	case "/show":
		return false, s.show()
	case "/set":
		return false, s.set(rest)
	default:
		return false, withHint(fmt.Errorf("no command %s", clean(word)), "/? lists the commands; a text that begins with / goes between \"\"\"")
	}
	return false, nil
}

func (s *chatSession) set(rest string) error {
	what, value, _ := strings.Cut(rest, " ")
	value = strings.TrimSpace(value)
	done := what
	switch what {
	case "system":
		s.o.system = strings.Trim(value, `"`)
		done = "system message set"
	case "parameter":
		name, number, _ := strings.Cut(value, " ")
		if err := s.o.setParameter(name, strings.TrimSpace(number)); err != nil {
			return err
		}
		done = name + " is " + strings.TrimSpace(number)
	case "think":
		if value == "" {
			value = "on"
		}
		thinking, err := chat.ParseThinking(value)
		if err != nil {
			return fmt.Errorf("think is %w", err)
		}
		s.o.chat, done = thinking, "thinking is "+value
	case "nothink":
		s.o.chat, done = chat.Options{Thinking: chat.ThinkOff}, "thinking is off"
	case "showthinking", "hidethinking":
		s.o.hideThinking = what == "hidethinking"
	case "verbose", "quiet":
		s.o.verbose = what == "verbose"
	default:
		return withHint(fmt.Errorf("no setting %q", what), "/? lists the settings")
	}
	fmt.Fprintln(s.out, dim(clean(done)))
	return nil
}

// setParameter changes one option of the sampler, by Ollama's name or ours.
func (o *runOptions) setParameter(name, value string) error {
	next, limit := o.sampler, o.max
	var err error
	switch strings.ReplaceAll(name, "-", "_") {
	case "temp", "temperature":
		next.Temperature, err = strconv.ParseFloat(value, 64)
	case "top_k":
		next.TopK, err = strconv.Atoi(value)
	case "top_p":
		var p float64
		p, err = strconv.ParseFloat(value, 64)
		next.SetTopP(p)
	case "min_p":
		next.MinP, err = strconv.ParseFloat(value, 64)
	case "repeat_penalty":
		next.RepeatPenalty, err = strconv.ParseFloat(value, 64)
	case "seed":
		next.Seed, err = strconv.ParseUint(value, 10, 64)
	case "n", "num_predict":
		if limit, err = strconv.Atoi(value); err == nil && limit < 0 {
			err = fmt.Errorf("n is %d, want 0 or more", limit)
		}
	default:
		return withHint(fmt.Errorf("no parameter %q", name), "temp, top_k, top_p, min_p, repeat_penalty, seed or n")
	}
	if err == nil {
		err = next.Check()
	} else if _, number := err.(*strconv.NumError); number {
		err = fmt.Errorf("%s is %q, want a number", name, value)
	}
	if err == nil {
		o.sampler, o.max = next, limit
	}
	return err
}

// show prints the model, the settings and the conversation's size.
func (s *chatSession) show() error {
	info := &modelInfo{Info: s.model.Info}
	if err := info.print(s.out); err != nil {
		return err
	}
	p := s.o.sampler
	fmt.Fprintf(s.out, "\ntemp %g, top_k %d, top_p %g, min_p %g, repeat_penalty %g, seed %d, n %d\n", p.Temperature, p.TopK, math.Round(p.TopP*1e6)/1e6, p.MinP, p.RepeatPenalty, p.Seed, s.o.max)
	if s.o.system != "" {
		fmt.Fprintf(s.out, "system message: %s\n", clean(s.o.system))
	}
	_, err := fmt.Fprintf(s.out, "%d messages, %d of %d tokens of context\n", len(s.msgs), len(s.tokens), s.model.Limit())
	return err
}
