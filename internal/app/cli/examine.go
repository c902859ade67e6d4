package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"retort/internal/learn/distill"
)

// runExam examines a model on a recipe's items.
func (o *evalOptions) runExam(ctx context.Context, name, recipe string, w, progress io.Writer) error {
	source, err := findSource(name)
	if err != nil {
		return err
	}
	source.Adapter = o.adapter
	bar := newProgress(progress)
	e, err := distill.Examine(ctx, distill.ExamineOptions{Recipe: recipe, Data: o.data, Model: source,
		Split: o.split, Limit: o.limit, Out: o.out, Threads: o.threads, Progress: func(p distill.Progress) { bar.set("exam", p.Done, p.Total, p.Note) }})
	bar.done()
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(w).Encode(e)
	}
	fmt.Fprintf(w, "%s on %s, %d items of %s, %.0f ms an item\n", e.Model, e.Recipe, e.Items, e.Split, e.MeanMS)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "field\texact\tloose")
	for _, f := range slices.Sorted(maps.Keys(e.Fields)) {
		fmt.Fprintf(t, "%s\t%.1f %%\t%.1f %%\n", f, 100*e.Fields[f].Exact, 100*e.Fields[f].Loose)
	}
	fmt.Fprintf(t, "all fields\t%.1f %%\t%.1f %%\n", 100*e.Exact, 100*e.Loose)
	return t.Flush()
}
