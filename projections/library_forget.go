package projections

import "slices"

// SubjectColumn implements Forgetter: all texts of an item are about its owner.
func (libraryModel) SubjectColumn() string { return "owner" }

// Forget implements Forgetter. What is left is what Evolve makes of events whose texts are erased.
func (libraryModel) Forget(m Media) Media {
	m.Erased = m.Erased || m.FileName != "" || m.Title != "" || len(m.Versions) > 0 // each version has a name
	m.Title, m.Description, m.Tags, m.FileName = "", "", nil, ""
	m.Versions = slices.Clone(m.Versions)
	for i := range m.Versions {
		v := &m.Versions[i]
		v.Name = ""
		if v.Seen != nil {
			seen := *v.Seen
			seen.Place, seen.Author = "", ""
			v.Seen = &seen
		}
	}
	m.lookUp()
	return m
}

var _ interface {
	Projection[Media]
	Forgetter[Media]
} = libraryModel{}

// ownedBatch is how many ids ItemsOf answers at once.
const ownedBatch = 500
