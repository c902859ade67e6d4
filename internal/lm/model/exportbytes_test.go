package model

// LearnedBytes is what TrainBytes takes a trainable value for.
const LearnedBytes = learnedBytes
