module retort/internal/compute/kernel/_asm

go 1.26.0
