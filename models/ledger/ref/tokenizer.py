#!/usr/bin/env python3
"""Makes tokenizer.json: a byte-level BPE of 2048 entries for the ledger models, digits apart (so that amounts and dates
are copied digit by digit). Needs the PyPI package tokenizers.

  tokenizer.py SENTENCES OUT.json

SENTENCES: lines of sentence and answer, as `retort train models/ledger/teacher.yaml --dump FILE` writes them."""
import sys
from tokenizers import Tokenizer, AddedToken, decoders, models, pre_tokenizers, trainers

t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
t.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(vocab_size=2048, special_tokens=[AddedToken("<|end|>", special=True)], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
t.train([sys.argv[1]], trainer)
t.save(sys.argv[2])
