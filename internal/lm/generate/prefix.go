package generate

import (
	"slices"

	"retort/internal/compute/op"
	"retort/internal/lm/model"
)

// tree holds the pages of what was computed, by the tokens that they hold: a node is a page, its path from the root the
// tokens before it. A node has one reference to its page; each timeline that uses the page has one more, and then one to
// every page before it. So a page that the tree alone refers to has no descendants in use, and from the leaves on all that
// nobody uses can be given back.
//
// A page that is not full is a leaf. Nobody continues it: who begins like it takes a copy.
type tree struct {
	pages *model.CachePool
	root  node
	all   []*node
	clock int64
}

type node struct {
	tokens   []int32 // op.Page of them, or fewer in a leaf
	page     *model.CachePage
	parent   *node
	children []*node
	used     int64 // when last
	place    int   // in all
}

func (x *tree) init(pages *model.CachePool) { x.pages = pages }

// find returns the nodes of the full pages that tokens begin with, and marks them as used.
func (x *tree) find(tokens []int32) []*node {
	var path []*node
	at := &x.root
	for len(tokens) >= op.Page {
		next := at.child(tokens[:op.Page])
		if next == nil {
			break
		}
		path, at, tokens = append(path, next), next, tokens[op.Page:]
	}
	x.touch(path)
	return path
}

func (n *node) child(tokens []int32) *node {
	for _, c := range n.children {
		if slices.Equal(c.tokens, tokens) {
			return c
		}
	}
	return nil
}

// partial returns how many of the tokens behind path one of the pages there begins with, and that page.
func (x *tree) partial(path []*node, tokens []int32) (most int, page *model.CachePage) {
	at := &x.root
	if len(path) > 0 {
		at = path[len(path)-1]
	}
	tokens = tokens[len(path)*op.Page:]
	var best *node
	for _, c := range at.children {
		if n := commonPrefix(c.tokens, tokens); n > most {
			most, best = n, c
		}
	}
	if best == nil {
		return 0, nil
	}
	x.touch([]*node{best})
	return most, best.page
}

// touch marks a path as used now.
func (x *tree) touch(path []*node) {
	x.clock++
	for _, n := range path {
		n.used = x.clock
	}
}

// insert adds a page of tokens behind parent (nil is the root) and returns its node, which may be one that is there with
// another page of the same tokens. Of pages that are not full the longest of those that begin alike stays.
func (x *tree) insert(parent *node, tokens []int32, page *model.CachePage) *node {
	if parent == nil {
		parent = &x.root
	}
	for i := 0; i < len(parent.children); i++ {
		c := parent.children[i]
		switch n := commonPrefix(c.tokens, tokens); {
		case n == len(tokens): // it says no more than what is there
			x.touch(parent.children[i : i+1])
			return c
		case n == len(c.tokens): // a part of what comes
			x.remove(c)
			i--
		}
	}
	x.pages.Retain(page)
	x.clock++
	n := &node{tokens: slices.Clone(tokens), page: page, parent: parent, used: x.clock, place: len(x.all)}
	parent.children = append(parent.children, n)
	x.all = append(x.all, n)
	return n
}

// remove takes a leaf out.
func (x *tree) remove(n *node) {
	p := n.parent
	i := slices.Index(p.children, n)
	p.children = slices.Delete(p.children, i, i+1)
	last := len(x.all) - 1
	x.all[n.place] = x.all[last]
	x.all[n.place].place = n.place
	x.all = x.all[:last]
	x.pages.Release(n.page)
	n.page = nil
}

// evict gives back the leaf that was used longest ago of those that nobody uses now, and says whether there was one.
func (x *tree) evict() bool {
	var oldest *node
	for _, n := range x.all {
		if len(n.children) == 0 && n.page.Refs() == 1 && (oldest == nil || n.used < oldest.used) {
			oldest = n
		}
	}
	if oldest == nil {
		return false
	}
	x.remove(oldest)
	return true
}

// idle returns how many pages the tree alone refers to.
func (x *tree) idle() int {
	count := 0
	for _, n := range x.all {
		if n.page.Refs() == 1 {
			count++
		}
	}
	return count
}

// clear gives all pages back.
func (x *tree) clear() {
	for _, n := range x.all {
		x.pages.Release(n.page)
	}
	x.root.children, x.all = nil, nil
}
