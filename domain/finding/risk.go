package finding

// Exposure is the widest circle of people that may see an item.
type Exposure string

// The circles, each within the next.
const (
	Private      Exposure = "private"      // the owner
	Organisation Exposure = "organisation" // the item's own organisation, or people named one by one
	Partner      Exposure = "partner"      // another organisation
	Anyone       Exposure = "anyone"       // whoever holds a link
)

// weight is how much worse it is when a circle sees something than when its owner does.
func (e Exposure) weight() int {
	switch e {
	case Anyone:
		return 10
	case Partner:
		return 5
	case Organisation:
		return 3
	default:
		return 1
	}
}

// Wider answers the wider of both.
func (e Exposure) Wider(f Exposure) Exposure {
	if f.weight() > e.weight() || e == "" {
		return f
	}
	return e
}

// Risk is exposure times sensitivity (1 to 10): 1 to 100.
func Risk(e Exposure, sensitivity int) int { return e.weight() * sensitivity }

// Level is a risk in a word.
type Level string

// The levels.
const (
	Low    Level = "low"
	Medium Level = "medium" // from 10
	High   Level = "high"   // from 25
	Urgent Level = "urgent" // from 40: an item that anyone may see, with what should be private
)

// Levels are all levels, from the lowest.
func Levels() []Level { return []Level{Low, Medium, High, Urgent} }

// Least is the lowest risk of the level.
func (l Level) Least() int {
	switch l {
	case Urgent:
		return 40
	case High:
		return 25
	case Medium:
		return 10
	default:
		return 0
	}
}

// LevelOf is the level of a risk.
func LevelOf(risk int) Level {
	found := Low
	for _, l := range Levels() {
		if risk >= l.Least() {
			found = l
		}
	}
	return found
}
