package conference

import "iter"

// What was made or changed since it was loaded, for the store.

// Changed are the conferences to write.
func (l *Ledger) Changed() iter.Seq[*Conference] {
	return func(yield func(*Conference) bool) {
		for _, c := range l.Conferences {
			if c.dirty && !yield(c) {
				return
			}
		}
	}
}

// Changed tells whether the person is to be written.
func (a *Attendee) Changed() bool { return a.dirty }

// Changed tells whether the session is to be written.
func (s *Session) Changed() bool { return s.dirty }

// Changed tells whether the recording is to be written.
func (r *Recording) Changed() bool { return r.dirty }

// Touch has the recording written.
func (r *Recording) Touch() { r.dirty = true }

// Changed tells whether the transcript is to be written.
func (t *Transcript) Changed() bool { return t.dirty }

// Presences are the invited people of whom there is something to write.
func (l *Ledger) Presences() []Presence { return l.presences }
