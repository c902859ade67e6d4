// Command retort runs, distils, examines and serves language models on an ordinary CPU.
package main

import (
	"os"

	"retort/internal/app/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:])) }
