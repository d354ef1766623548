package share

import "time"

// Settle records what has become of a share by itself; for the vault's own use. Asking twice says nothing new.
type Settle struct {
	At    time.Time
	Opens int  // so far
	Item  Code // what became of the item; empty: it is there
	// Announce says that it is time to tell of the end in time, if it has not come yet.
	Announce bool
}

// nearly is from which part of its opens on a share's end is announced: four fifths, of five or more.
func nearly(opens, most int) bool { return most >= 5 && opens < most && opens*5 >= most*4 }

// Decide says what is new.
func (c Settle) Decide(s State) ([]Event, error) {
	if !s.Known() || s.Revoked || s.Closed {
		return nil, nil
	}
	if c.Item == ItemPurged {
		return []Event{Closed{Code: c.Item}}, nil
	}
	var events []Event
	switch {
	case c.Item == s.Suspended:
	case c.Item == "":
		events = append(events, Resumed{Code: s.Suspended})
	default:
		events = append(events, Suspended{Code: c.Item})
	}
	end, most := s.Terms.ExpiresAt, s.Terms.MaxOpens
	expires, limited := !end.IsZero(), most > 0
	over, out := expires && !c.At.Before(end), limited && c.Opens >= most
	if over && !s.Expired {
		events = append(events, Expired{ExpiresAt: end})
	}
	if out && !s.Exhausted {
		events = append(events, Exhausted{Opens: c.Opens})
	}
	switch {
	case over || out || s.Announced || c.Item != "":
	case limited && nearly(c.Opens, most):
		events = append(events, EndAnnounced{OpensLeft: most - c.Opens})
	case expires && c.Announce:
		events = append(events, EndAnnounced{ExpiresAt: end})
	}
	return events, nil
}

func (EndAnnounced) evolve(s State) State { s.Announced = true; return s }
func (Expired) evolve(s State) State      { s.Expired = true; return s }
func (Exhausted) evolve(s State) State    { s.Exhausted = true; return s }
func (e Suspended) evolve(s State) State  { s.Suspended = e.Code; return s }
func (Resumed) evolve(s State) State      { s.Suspended = ""; return s }
func (Closed) evolve(s State) State       { s.Closed = true; return s }
