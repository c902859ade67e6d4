package tokenizer

// normalizer rewrites a piece of text before words are cut. first says that the text starts with the piece.
type normalizer func(piece string, first bool) string
