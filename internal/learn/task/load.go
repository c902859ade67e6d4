package task

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"retort/recipes"
)

// Load opens a recipe, a folder or the name of an embedded one, and reads its data. dataDir replaces the path that the
// recipe names, where it is not empty.
func Load(recipe, dataDir string) (*Task, error) {
	files, folder, err := openRecipe(recipe)
	if err != nil {
		return nil, err
	}
	t, err := parseTask(files)
	if err != nil {
		return nil, fmt.Errorf("recipe %s: %w", recipe, err)
	}
	if dataDir == "" && t.Recipe.Data.Path != "" {
		if folder == "" {
			return nil, fmt.Errorf("recipe %s: its data is not part of this program: name its folder with --data (the recipe's README says where it comes from)", recipe)
		}
		dataDir = filepath.Join(folder, filepath.FromSlash(t.Recipe.Data.Path))
	}
	if err := t.readData(dataDir); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", recipe, err)
	}
	if err := t.findExamples(); err != nil {
		return nil, fmt.Errorf("recipe %s: %w", recipe, err)
	}
	return t, nil
}

// Embedded lists the recipes that come with the program.
func Embedded() []string {
	entries, err := fs.ReadDir(recipes.FS, ".")
	if err != nil {
		panic("task: embedded recipes: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// openRecipe finds the recipe's files; folder is empty for an embedded one.
func openRecipe(recipe string) (files fs.FS, folder string, err error) {
	// A bare name means the built-in recipe even where a folder of that name lies about; ./NAME means the folder.
	if !strings.ContainsAny(recipe, `/\`) && slices.Contains(Embedded(), recipe) {
		sub, err := fs.Sub(recipes.FS, recipe)
		return sub, "", err
	}
	if info, err := os.Stat(recipe); err == nil {
		if !info.IsDir() {
			return nil, "", fmt.Errorf("recipe %s: a file, want the folder that holds recipe.yaml", recipe)
		}
		return os.DirFS(recipe), recipe, nil
	}
	return nil, "", fmt.Errorf("recipe %s: no such folder, and none of the built-in recipes: %s", recipe, strings.Join(Embedded(), ", "))
}

// parseTask reads all of a recipe but its data.
func parseTask(files fs.FS) (*Task, error) {
	h := sha256.New()
	text := map[string][]byte{}
	for _, name := range []string{"recipe.yaml", "prompt.md", "schema.json"} {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		text[name] = b
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
	}
	t := &Task{Hash: hex.EncodeToString(h.Sum(nil)), Schema: text["schema.json"]}
	var err error
	if t.Recipe, err = ParseRecipe(text["recipe.yaml"]); err != nil {
		return nil, err
	}
	if t.prompt, err = parsePrompt("prompt.md", string(text["prompt.md"])); err != nil {
		return nil, err
	}
	// A trailing line break of the student's prompt is meant: the answer begins on the next line.
	if t.student, err = parsePrompt("student.prompt", t.Recipe.Student.Prompt+"\n"); err != nil {
		return nil, err
	}
	if t.student.section != "" {
		return nil, errors.New("student.prompt: has examples; a student learns without")
	}
	if t.schema, t.kinds, err = compileSchema(text["schema.json"], t.FieldNames()); err != nil {
		return nil, err
	}
	return t, nil
}

// compileSchema reads schema.json, which must describe an object with exactly the recipe's fields. It never loads another
// file or address.
func compileSchema(text []byte, names []string) (*jsonschema.Schema, map[string]string, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, nil, fmt.Errorf("schema.json: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, nil, fmt.Errorf("schema.json: %w", err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		return nil, nil, fmt.Errorf("schema.json: %w", err)
	}
	var shape struct {
		Properties map[string]struct {
			Type any `json:"type"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(text, &shape); err != nil {
		return nil, nil, fmt.Errorf("schema.json: %w", err)
	}
	if len(shape.Properties) != len(names) {
		return nil, nil, fmt.Errorf("schema.json: %d properties, the recipe has %d fields", len(shape.Properties), len(names))
	}
	kinds := map[string]string{}
	for _, name := range names {
		p, ok := shape.Properties[name]
		if !ok {
			return nil, nil, fmt.Errorf("schema.json: no property %q, a field of the recipe", name)
		}
		kinds[name], _ = p.Type.(string)
	}
	return schema, kinds, nil
}

// findExamples looks the recipe's examples up in the dev split and makes sure that they have gold.
func (t *Task) findExamples() error {
	for _, id := range t.Recipe.Teacher.Examples {
		found := false
		for _, it := range t.items[Dev] {
			if it.ID == id && it.Gold != nil {
				t.examples, found = append(t.examples, it), true
			}
		}
		if !found {
			return fmt.Errorf("teacher.examples: %q is no item of dev with a gold answer", id)
		}
	}
	if t.prompt.section == "" && len(t.examples) > 0 {
		return errors.New("teacher.examples: prompt.md has no {{#examples}} section for them")
	}
	return nil
}

// hashData sets the data's hash: ids and texts of all splits, gold of dev and val.
func (t *Task) hashData() {
	h := sha256.New()
	for _, split := range []string{Train, Dev, Val} {
		for _, it := range t.items[split] {
			fmt.Fprintf(h, "%s %q %q", split, it.ID, it.Text)
			if split != Train && it.Gold != nil {
				fmt.Fprintf(h, " %s", t.Answer(it.Gold))
			}
			h.Write([]byte{'\n'})
		}
	}
	t.dataHash = hex.EncodeToString(h.Sum(nil))
}
