// Package recipes holds the recipes that come with the program, a folder each, embedded so that the binary needs no
// file beside it. The data of a recipe is never in here: its README says where the data comes from.
package recipes

import "embed"

// FS holds recipe.yaml, prompt.md, schema.json and README.md of each recipe, under the recipe's name.
//
//go:embed */recipe.yaml */prompt.md */schema.json */README.md
var FS embed.FS
