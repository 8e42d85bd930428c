package rule

import (
	"encoding/json"
	"fmt"
)

// modelJSON is a model as it travels and is stored.
type modelJSON struct {
	Entities      []entityJSON       `json:"entities"`
	Relationships []relationshipJSON `json:"relationships"`
}

type entityJSON struct {
	ID         ID             `json:"id"`
	Title      string         `json:"title"`
	Properties []propertyJSON `json:"properties"`
}

type propertyJSON struct {
	ID    ID     `json:"id"`
	Title string `json:"title"`
}

type relationshipJSON struct {
	ID             ID     `json:"id"`
	EntityNameFrom string `json:"entityNameFrom"`
	EntityNameTo   string `json:"entityNameTo"`
	Name           string `json:"name"`
	Alias          string `json:"alias"`
}

// MarshalJSON writes the model in the shapes of the published contract
// (transform-request.json). Lists that are empty are written as empty.
func (m *Model) MarshalJSON() ([]byte, error) {
	out := modelJSON{
		Entities: make([]entityJSON, len(m.Entities)), Relationships: make([]relationshipJSON, len(m.Relationships)),
	}
	for i, e := range m.Entities {
		out.Entities[i] = entityJSON{e.ID, e.Title, make([]propertyJSON, len(e.Properties))}
		for j, p := range e.Properties {
			out.Entities[i].Properties[j] = propertyJSON(p)
		}
	}
	for i, r := range m.Relationships {
		out.Relationships[i] = relationshipJSON{r.ID, r.From, r.To, r.Name, r.Alias}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote. Bodies of requests are read more
// strictly, at the edge.
func (m *Model) UnmarshalJSON(data []byte) error {
	var in modelJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("graph model: %w", err)
	}
	m.Entities, m.Relationships = nil, nil
	m.indexed.Store(nil)
	for _, e := range in.Entities {
		entity := Entity{ID: e.ID, Title: e.Title}
		for _, p := range e.Properties {
			entity.Properties = append(entity.Properties, Property(p))
		}
		m.Entities = append(m.Entities, entity)
	}
	for _, r := range in.Relationships {
		m.Relationships = append(m.Relationships, Relationship{r.ID, r.EntityNameFrom, r.EntityNameTo, r.Name, r.Alias})
	}
	return nil
}
