package grammar

import (
	"slices"
	"strconv"
)

// any is any JSON value, through one recursive rule.
func (c *compiler) any(next int32) int32 {
	if c.anyRule < 0 {
		c.anyRule = c.reserveRule()
		anything := &value{kind: isObject}
		start, err := c.types(anything, isAny, "", end)
		if err != nil {
			panic("grammar: any value: " + err.Error())
		}
		c.rules[c.anyRule] = start
	}
	return c.call(c.anyRule, next)
}

// object compiles the members in their order. At each place it is known whether a member came before, which
// decides on the comma.
func (c *compiler) object(v *value, at string, next int32) (int32, error) {
	members, extra, err := objectMembers(v, at)
	if err != nil {
		return never, err
	}
	if extra != nil {
		return c.mapping(extra, at+"/additionalProperties", next)
	}
	shut := c.literal("}", next)
	// What may follow when members came before, and when none did: a member's name and, if none is required any more,
	// the end.
	begun, fresh := shut, shut
	c.place = at + "/properties"
	names := never // the tree of the names
	for i := len(members) - 1; i >= 0; i-- {
		m := members[i]
		item, err := c.schema(m.schema, m.at, begun)
		if err != nil {
			return never, err
		}
		if m.required {
			names, shut = never, never
		}
		if item != never {
			names = c.withText(names, string(appendQuoted(nil, m.name))+": ", item)
		}
		begun, fresh = c.choice(c.after(", ", names), shut), c.choice(names, shut)
	}
	return c.after("{", fresh), nil
}

// withText adds a text before a node to a prefix tree of texts, none of which begins with another, so that the begin
// of a name decides between thousands of members a byte at a time. The tree that was stays as it is and what both have
// is shared: the trees of an object's last member, of its last two and so on cost no more than their names.
func (c *compiler) withText(tree int32, text string, to int32) int32 {
	if tree == never {
		return c.literal(text, to)
	}
	edges := slices.Clone(c.nodes[tree].edges)
	i := slices.IndexFunc(edges, func(e edge) bool { return e.lo == text[0] })
	if i < 0 {
		return c.add(node{edges: append(edges, edge{text[0], text[0], c.literal(text[1:], to)})})
	}
	edges[i].to = c.withText(edges[i].to, text[1:], to)
	return c.add(node{edges: edges})
}

// after is a literal before a node, and never before never.
func (c *compiler) after(text string, next int32) int32 {
	if next == never {
		return never
	}
	return c.literal(text, next)
}

// A member is a property of an object.
type member struct {
	name     string
	schema   *value
	at       string
	required bool
}

var (
	anyValue = &value{kind: isBoolean, boolean: true}
	noValue  = &value{kind: isBoolean}
)

// objectMembers lists the members of an object schema; for one that names none, extra is the schema of all.
func objectMembers(v *value, at string) (members []member, extra *value, err error) {
	properties, required, additional := v.member("properties"), v.member("required"), v.member("additionalProperties")
	needs := map[string]bool{}
	if required != nil {
		if required.kind != isArray {
			return nil, nil, fault(at+"/required", "want a list of names, not %s", required.json())
		}
		for _, name := range required.values {
			if name.kind != isString {
				return nil, nil, fault(at+"/required", "want a name, not %s", name.json())
			}
			needs[name.text] = true
		}
	}
	if properties != nil {
		if properties.kind != isObject {
			return nil, nil, fault(at+"/properties", "want an object, not %s", properties.json())
		}
		for i, name := range properties.keys {
			members = append(members, member{name, properties.values[i], below(at+"/properties", name), needs[name]})
			delete(needs, name)
		}
	}
	closed := additional != nil && additional.kind == isBoolean && !additional.boolean
	if required != nil {
		for _, name := range required.values { // required, but not described: any value, unless additional ones are ruled out
			if needs[name.text] {
				schema := anyValue
				if closed {
					schema = noValue
				}
				members = append(members, member{name.text, schema, at + "/required", true})
				delete(needs, name.text)
			}
		}
	}
	switch {
	case additional == nil && properties == nil && len(members) == 0: // names none; an empty "required" says nothing
		return nil, anyValue, nil
	case additional == nil || closed:
		return members, nil, nil
	case len(members) == 0:
		return nil, additional, nil
	case unconstrained(additional): // the default
		return members, nil, nil
	}
	return nil, nil, fault(at, "keyword \"additionalProperties\" other than true or false beside named members is not supported")
}

// mapping is an object of any members whose values follow one schema.
func (c *compiler) mapping(extra *value, at string, next int32) (int32, error) {
	item, err := c.schema(extra, at, end)
	if err != nil {
		return never, err
	}
	shut := c.literal("}", next)
	if item == never {
		return c.literal("{", shut), nil
	}
	first := c.reserveRule()
	c.rules[first] = c.text(0, unbounded, c.literal(": ", item))
	more := c.reserveRule()
	c.rules[more] = c.literal(", ", c.call(first, end))
	some := c.call(first, c.repeat(more, 0, unbounded, shut))
	return c.literal("{", c.choice(some, shut)), nil
}

// array compiles prefixItems in their order, then items.
func (c *compiler) array(v *value, at string, next int32) (int32, error) {
	low, high, err := counts(v, at, "minItems", "maxItems")
	if err != nil || low > high {
		return never, err
	}
	var prefix []*value
	if arg := v.member("prefixItems"); arg != nil {
		if arg.kind != isArray {
			return never, fault(at+"/prefixItems", "want a list of schemas, not %s", arg.json())
		}
		prefix = arg.values
	}
	shut := c.literal("]", next)
	n, left := int32(len(prefix)), high
	if high < unbounded {
		left = max(high-n, 0)
	}
	begun, fresh, err := c.rest(v, at, max(low-n, 0), left, shut) // as in object
	if err != nil {
		return never, err
	}
	for i := n - 1; i >= 0; i-- {
		if i >= high {
			begun, fresh = shut, shut
			continue
		}
		item, err := c.schema(prefix[i], at+"/prefixItems/"+strconv.Itoa(int(i)), begun)
		if err != nil {
			return never, err
		}
		begun, fresh = c.after(", ", item), item
		if i >= low {
			begun, fresh = c.choice(begun, shut), c.choice(fresh, shut)
		}
	}
	return c.after("[", fresh), nil
}

// rest is the low to high items behind the prefix, if something came before and if not.
func (c *compiler) rest(v *value, at string, low, high, shut int32) (begun, fresh int32, err error) {
	items := v.member("items")
	if items == nil {
		items = anyValue
	}
	if items.kind == isArray {
		return never, never, fault(at+"/items", "a list of schemas is not supported, draft 2020-12 has \"prefixItems\"")
	}
	if high == 0 {
		return shut, shut, nil
	}
	item, err := c.schema(items, at+"/items", end)
	if err != nil {
		return never, never, err
	}
	if item == never {
		if low > 0 {
			return never, never, nil
		}
		return shut, shut, nil
	}
	one := c.reserveRule()
	c.rules[one] = item
	more := c.reserveRule()
	c.rules[more] = c.literal(", ", item)
	upTo := func(n int32) int32 {
		if n == unbounded {
			return n
		}
		return n - 1
	}
	begun = c.repeat(more, low, high, shut)
	fresh = c.call(one, c.repeat(more, max(low-1, 0), upTo(high), shut))
	if low == 0 {
		fresh = c.choice(fresh, shut)
	}
	return begun, fresh, nil
}
