package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is what the narrowest terminal in use shows; a help text fits its 24 rows too, and a test counts them.
const helpWidth = 80

// printHelp shows what a command is for, how it is called and its flags. It asks the terminal nothing: prettier
// printers wait for seconds where a terminal does not tell its colours.
func printHelp(cmd *cobra.Command) error {
	w := &strings.Builder{}
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(w, "%s\n\nusage: %s\n", wrap(text, helpWidth), cmd.UseLine())
	for i, line := range strings.Split(cmd.Example, "\n") {
		if line != "" {
			long := strings.ReplaceAll(wrap(line, helpWidth-11), "\n", " \\\n         ")
			fmt.Fprintf(w, "%-7s%s\n", map[bool]string{true: "e.g."}[i == 0], long)
		}
	}
	fmt.Fprintln(w)
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			fmt.Fprintf(w, "  %-10s %s\n", c.Name(), c.Short)
		}
	}
	printFlags(w, cmd.LocalFlags())
	_, err := io.WriteString(cmd.OutOrStdout(), w.String())
	return err
}

// kinds are the words for what a flag takes, by pflag's.
var kinds = map[string]string{"int": "N", "uint": "N", "float": "X", "string": "TEXT", "stringArray": "TEXT"}

// printFlags lists flags, a line each, without --help itself.
func printFlags(w io.Writer, flags *pflag.FlagSet) {
	var names, uses []string
	width := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Hidden {
			return
		}
		name := "    --" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", --" + f.Name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if word, ok := kinds[kind]; ok {
			name += " " + word
		} else if kind != "" {
			name += " " + kind // as the usage calls it
		}
		switch def := f.DefValue; def {
		case "", "false", "0", "[]":
		default:
			usage += " (" + def + ")"
		}
		names, uses, width = append(names, name), append(uses, usage), max(width, len(name))
	})
	for i, name := range names {
		use := strings.ReplaceAll(wrap(uses[i], helpWidth-width-3), "\n", "\n"+strings.Repeat(" ", width+3))
		fmt.Fprintf(w, " %-*s  %s\n", width, name, use)
	}
}

// wrap breaks text into lines of at most width, keeping empty lines.
func wrap(text string, width int) string {
	var out []string
	for _, paragraph := range strings.Split(text, "\n\n") {
		var lines []string
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
				lines = append(lines, line)
				line = ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		out = append(out, strings.Join(append(lines, line), "\n"))
	}
	return strings.Join(out, "\n\n")
}
