#!/usr/bin/env python3
"""Makes tokenizer.json: a byte-level BPE of at most 2048 entries for the ledger models. Needs the PyPI package tokenizers.

  tokenizer.py SENTENCES OUT.json

SENTENCES: one line a sentence and one an answer, from the generator (internal/learn/task/ledger, seed 1, split teacher, 40,000).

The answers copy dates, amounts and names out of the sentence, so a name should be the same tokens in both places. While merges are
learned, digits and Chinese characters are apart; what is saved is the ordinary GPT-2 splitting with single digits, under which the
same merges give the same tokens: none of them reaches over such a border."""
import sys
from tokenizers import Tokenizer, AddedToken, Regex, decoders, models, pre_tokenizers, trainers

t = Tokenizer(models.BPE())
digits = pre_tokenizers.Digits(individual_digits=True)
apart = pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated")
t.pre_tokenizer = pre_tokenizers.Sequence([digits, apart, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
t.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(vocab_size=2048, special_tokens=[AddedToken("<|end|>", special=True)], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
t.train([sys.argv[1]], trainer)
t.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
t.save(sys.argv[2])
