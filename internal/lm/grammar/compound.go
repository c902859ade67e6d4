package grammar

import "strconv"

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
	begun, fresh := shut, shut // what follows when members came before, and when none did
	for i := len(members) - 1; i >= 0; i-- {
		m := members[i]
		item, err := c.schema(m.schema, m.at, begun)
		if err != nil {
			return never, err
		}
		if item != never {
			item = c.literal(string(appendQuoted(nil, m.name))+": ", item)
		}
		if m.required {
			begun, fresh = c.after(", ", item), item
		} else {
			begun, fresh = c.choice(c.after(", ", item), begun), c.choice(item, fresh)
		}
	}
	return c.after("{", fresh), nil
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
			members = append(members, member{name, properties.values[i], at + "/properties/" + escapePointer.Replace(name), needs[name]})
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
	if additional == nil && properties == nil && required == nil {
		return nil, anyValue, nil
	}
	if additional != nil && !closed {
		if len(members) > 0 {
			return nil, nil, fault(at, "keyword \"additionalProperties\" other than false beside named members is not supported")
		}
		return nil, additional, nil
	}
	return members, nil, nil
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
