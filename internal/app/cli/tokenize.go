package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"retort/internal/format/tokenizer"
)

type tokenizeOptions struct {
	json, decode, bos, special bool
}

func newTokenize() *cobra.Command {
	o := &tokenizeOptions{}
	cmd := &cobra.Command{
		Use: "tokenize MODEL [TEXT]", Short: "Turn text into token ids, and back",
		Long: "Print the token ids of TEXT, or of standard input byte for byte. Text stays text: <|im_end|> becomes the\nspecial token only with --special.",
		Args: arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(args, cmd.InOrStdin(), cmd.OutOrStdout()) },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&o.decode, "decode", false, "the way back: print the text of ids")
	cmd.Flags().BoolVar(&o.bos, "bos", false, "begin with the BOS token")
	cmd.Flags().BoolVar(&o.special, "special", false, "text such as <|im_end|> is the special token")
	return cmd
}

func (o *tokenizeOptions) run(args []string, in io.Reader, w io.Writer) error {
	tok, err := readTokenizer(args[0])
	if err != nil {
		return err
	}
	text := ""
	if len(args) == 2 {
		text = args[1]
	} else {
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		text = string(b)
	}
	if o.decode {
		return o.runDecode(tok, text, w)
	}
	list := tok.Encode(text, tokenizer.Options{Special: o.special, UserDefined: true})
	if o.bos && tok.BOS >= 0 {
		list = append([]int{tok.BOS}, list...)
	}
	if o.json {
		if list == nil {
			list = []int{}
		}
		return json.NewEncoder(w).Encode(list)
	}
	words := make([]string, len(list))
	for i, id := range list {
		words[i] = strconv.Itoa(id)
	}
	_, err = fmt.Fprintln(w, strings.Join(words, " "))
	return err
}

func (o *tokenizeOptions) runDecode(tok *tokenizer.Tokenizer, text string, w io.Writer) error {
	list, err := parseIDs(text)
	if err != nil {
		return err
	}
	ids := make([]int, len(list))
	for i, id := range list {
		if ids[i] = int(id); id < 0 || ids[i] >= tok.Vocab() {
			return fmt.Errorf("token id %d, want 0 to %d", id, tok.Vocab()-1)
		}
	}
	out := tok.Decode(ids)
	if o.special {
		out = tok.DecodeSpecial(ids)
	}
	if o.json {
		return json.NewEncoder(w).Encode(out)
	}
	_, err = io.WriteString(w, out)
	return err
}

// parseIDs reads ids separated by blanks, commas or brackets.
func parseIDs(text string) ([]int32, error) {
	var list []int32
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,[]\n\r\t", r) }) {
		id, err := strconv.ParseInt(f, 10, 32)
		if err != nil {
			return nil, usagef("%q is not a token id", f)
		}
		list = append(list, int32(id))
	}
	return list, nil
}
