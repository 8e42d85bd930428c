package rules

// values finds texts.
type values struct {
	few  []string
	many map[string]int32 // set when there are more than fewValues
	max  int              // the longest one, in bytes
}

// fewValues is up to how many texts are compared one after the other.
const fewValues = 4

func (v *values) add(text string) int32 {
	if k := find(v, text); k >= 0 {
		return k
	}
	k := int32(len(v.few))
	if v.many != nil {
		k = int32(len(v.many))
		v.many[text] = k
	} else if v.few = append(v.few, text); len(v.few) > fewValues {
		v.many = make(map[string]int32, 2*len(v.few))
		for i, s := range v.few {
			v.many[s] = int32(i)
		}
		v.few = nil
	}
	v.max = max(v.max, len(text))
	return k
}

// find returns the number of a text; -1 when it is not there.
func (v *values) find(text []byte) int32 { return find(v, text) }

func find[T string | []byte](v *values, text T) int32 {
	if len(text) > v.max {
		return -1
	}
	if v.many != nil {
		if k, ok := v.many[string(text)]; ok {
			return k
		}
		return -1
	}
	for k, s := range v.few {
		if string(text) == s {
			return int32(k)
		}
	}
	return -1
}

// choice is a list of texts, sorted and each once.
type choice struct {
	texts []string
	max   int // the longest one, in bytes
}

// has reports whether a text is in the list.
func (c *choice) has(text []byte) bool {
	if len(text) > c.max {
		return false
	}
	if len(c.texts) <= fewValues {
		for _, s := range c.texts { //nolint:modernize // handing string(text) to slices.Contains would copy it
			if string(text) == s {
				return true
			}
		}
		return false
	}
	from, to := 0, len(c.texts)
	for from < to {
		k := (from + to) / 2
		switch s := c.texts[k]; {
		case string(text) == s:
			return true
		case string(text) < s:
			to = k
		default:
			from = k + 1
		}
	}
	return false
}

// scalars walks over the strings, numbers and literals of a JSON array that has
// been checked, those of arrays inside it included, objects left out.
type scalars struct {
	text []byte
	at   int
}

// next returns the next one as it is written; nil at the end.
func (s *scalars) next() []byte {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '"':
			from := s.at
			s.at = stringEnd(s.text, from)
			return s.text[from:s.at]
		case '{':
			s.at = objectEnd(s.text, s.at)
		case ' ', '\t', '\n', '\r', ',', '[', ']':
			s.at++
		default:
			from := s.at
			for s.at < len(s.text) && !delimits(s.text[s.at]) {
				s.at++
			}
			return s.text[from:s.at]
		}
	}
	return nil
}

func delimits(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\r', ',', ']', '}':
		return true
	}
	return false
}

// stringEnd returns the offset behind a string that begins at i and is good.
func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// objectEnd returns the offset behind an object that begins at i and is good.
func objectEnd(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = stringEnd(b, i)
			continue
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
}
