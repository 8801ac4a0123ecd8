package app

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/calendar"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Needs is what a batch of commands wants loaded and locked before it decides.
type Needs struct {
	Commands []uuid.UUID
	// Meetings are locked and loaded with their google job; those of Guests with their guests as well.
	Meetings, Guests []meeting.Ref
	// People are meetings, among Meetings, whose people are loaded with their answers.
	People []meeting.Ref
	// Events are Google's ids of events whose meetings are loaded as if they stood in Meetings, Guests and People.
	Events []string
	// Calendars are locked and loaded with their jobs, and so are those of Channels.
	Calendars []calendar.ID
	Channels  []string
	// Access is of commands about credentials and persons.
	Access AccessNeeds
	// HeldNeeds is of commands about what was held.
	HeldNeeds
	// Tasks are rows of jobs that are not a meeting's google row: locked where they exist.
	Tasks []uuid.UUID
	// Exports are recordings that are loaded as far as their copies go, each with its meeting and what was held of it.
	Exports []int64
	// Command is the one whose needs are being told.
	Command uuid.UUID
	// NewMeetings are the commands that make a meeting: each takes a number unless it was carried out before.
	NewMeetings []uuid.UUID
	// Organizers are addresses that are found or get a number for a new user.
	Organizers []string
	// UserIDs, UserEmails and Usernames are of commands about users: locked where they exist.
	UserIDs    []account.ID
	UserEmails []string
	Usernames  []string
}

// Stored is a command that was carried out before.
type Stored struct {
	BodyHash string
	Reply    []byte
}

// Unit is the working set of one batch: what was loaded, and what the batch made of it. The store fills and then writes it.
type Unit struct {
	Now   time.Time
	Drift Drift

	// Known are the commands carried out before.
	Known map[uuid.UUID]Stored
	// GooglePressing counts the google jobs that are out or wait for room, up to the dispatch limit and beyond.
	GooglePressing int

	// Meetings holds what was loaded and what was made, by number; UIDs finds the number of what was loaded.
	Meetings map[meeting.ID]*meeting.Meeting
	UIDs     map[string]meeting.ID
	// HadGuests are the guests of a loaded meeting as they were; absent where they were not asked for.
	HadGuests map[meeting.ID][]string
	// MeetingIDs and UserIDs are numbers to give out.
	MeetingIDs []int64
	UserIDs    []int64
	// Organizers is by account.EmailKey; Users by number, also found by UserByEmail.
	Organizers  map[string]*account.User
	Users       map[account.ID]*account.User
	TakenNames  map[string]struct{}
	NewUsers    []*account.User
	DirtyUsers  map[account.ID]struct{}
	NewMeetings []*meeting.Meeting
	// Dirty are loaded meetings that a command worked on, in the order of work.
	Dirty    []*meeting.Meeting
	dirtySet map[meeting.ID]struct{}
	// touched are those of the command at work.
	touched []*meeting.Meeting

	// Calendars are those loaded; the dirty ones and their jobs are written.
	Calendars      map[calendar.ID]*calendar.Calendar
	DirtyCalendars map[calendar.ID]struct{}
	// Places are calendars that need a row, by name.
	Places map[string]Place

	// Held is what was held.
	Held
	Copies

	Events   []EventRow
	Commands []CommandRow

	AccessUnit
}

// EventRow is a fact to append to the log.
type EventRow struct {
	ID            uuid.UUID
	Type, Subject string
	MeetingID     meeting.ID
	Body          string
	Traceparent   string
}

// CommandRow is a command that was carried out or refused, with its answer.
type CommandRow struct {
	ID                                        uuid.UUID
	Kind, BodyHash                            string
	Principal, RequestID, RemoteAddr, Refusal string
	Reply                                     []byte
	MeetingID                                 meeting.ID
}

// NewUnit makes an empty working set.
func NewUnit(now time.Time) *Unit {
	return &Unit{
		Now: now, Known: map[uuid.UUID]Stored{}, Meetings: map[meeting.ID]*meeting.Meeting{}, UIDs: map[string]meeting.ID{},
		HadGuests: map[meeting.ID][]string{}, Organizers: map[string]*account.User{}, Users: map[account.ID]*account.User{},
		TakenNames: map[string]struct{}{}, DirtyUsers: map[account.ID]struct{}{},
		Calendars: map[calendar.ID]*calendar.Calendar{}, DirtyCalendars: map[calendar.ID]struct{}{}, Places: map[string]Place{}, dirtySet: map[meeting.ID]struct{}{},
		AccessUnit: newAccessUnit(),
		Held:       newHeld(), Copies: newCopies(),
	}
}

// Meeting finds a loaded meeting to work on. [meeting.ErrNotFound] when there is none.
func (u *Unit) Meeting(ref meeting.Ref) (*meeting.Meeting, error) {
	id := ref.ID
	if ref.UID != "" {
		id = u.UIDs[ref.UID]
	}
	m, ok := u.Meetings[id]
	if !ok || id == 0 {
		return nil, meeting.ErrNotFound
	}
	return m, nil
}

// Touch marks a loaded meeting as worked on: the store writes it and its job.
func (u *Unit) Touch(m *meeting.Meeting) {
	u.touched = append(u.touched, m)
	if _, done := u.dirtySet[m.ID]; done {
		return
	}
	u.dirtySet[m.ID] = struct{}{}
	u.Dirty = append(u.Dirty, m)
}

// Organizer finds the user of an address or makes one.
func (u *Unit) Organizer(email string) (*account.User, error) {
	key := account.EmailKey(email)
	if user, ok := u.Organizers[key]; ok {
		return user, nil
	}
	id, err := u.takeUserID()
	if err != nil {
		return nil, err
	}
	user := account.NewOrganizer(id, email, u.nameTaken, u.Now)
	u.addUser(user)
	return user, nil
}

func (u *Unit) nameTaken(name string) bool {
	_, taken := u.TakenNames[name]
	return taken
}

func (u *Unit) addUser(user *account.User) {
	u.Organizers[account.EmailKey(user.Email)] = user
	u.Users[user.ID] = user
	u.TakenNames[user.Username] = struct{}{}
	u.NewUsers = append(u.NewUsers, user)
}

// UserByEmail finds a loaded user of this address; nil when there is none.
func (u *Unit) UserByEmail(email string) *account.User {
	for _, user := range u.Users {
		if account.EmailKey(user.Email) == account.EmailKey(email) {
			return user
		}
	}
	return nil
}

// errNumbers: what was made is more than numbers were taken for, because another instance made a user between the two looks.
var errNumbers = fmt.Errorf("the batch ran out of numbers: %w", ErrConflict)

func (u *Unit) takeUserID() (account.ID, error) {
	if len(u.UserIDs) == 0 {
		return 0, errNumbers
	}
	id := u.UserIDs[0]
	u.UserIDs = u.UserIDs[1:]
	return account.ID(id), nil
}

func (u *Unit) takeMeetingID() (meeting.ID, error) {
	if len(u.MeetingIDs) == 0 {
		return 0, errNumbers
	}
	id := u.MeetingIDs[0]
	u.MeetingIDs = u.MeetingIDs[1:]
	return meeting.ID(id), nil
}
