package quota

import (
	"errors"
	"fmt"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// Config of the limits. Google's own are the defaults (Calendar API usage limits, Meet API usage limits, Google Workspace
// Events API usage limits, Drive API usage limits, per minute); the Google Cloud console shows a project's.
type Config struct {
	Mode string `env:"MEET_GOOGLE_QUOTAS" oneof:"on off" help:"on: calls to Google are spread so that they stay within 80 % of its quotas, over all schedulers together; off: Google is asked at once, and refuses; absent: on with Google, off with the emulator"`

	CalendarProject    int `env:"MEET_GOOGLE_QUOTA_CALENDAR_PROJECT" envDefault:"10000" help:"calls a minute that Google Calendar allows the Google Cloud project, as the console shows it"`
	CalendarUser       int `env:"MEET_GOOGLE_QUOTA_CALENDAR_USER" envDefault:"600" help:"calls a minute that Google Calendar allows each organizer"`
	MeetReadProject    int `env:"MEET_GOOGLE_QUOTA_MEET_READ_PROJECT" envDefault:"6000" help:"reads a minute that Google Meet allows the project"`
	MeetReadUser       int `env:"MEET_GOOGLE_QUOTA_MEET_READ_USER" envDefault:"600" help:"reads a minute that Google Meet allows each organizer"`
	MeetWriteProject   int `env:"MEET_GOOGLE_QUOTA_MEET_WRITE_PROJECT" envDefault:"1000" help:"changes of spaces a minute that Google Meet allows the project; each recorded or public meeting takes one"`
	MeetWriteUser      int `env:"MEET_GOOGLE_QUOTA_MEET_WRITE_USER" envDefault:"100" help:"changes of spaces a minute that Google Meet allows each organizer"`
	MeetCreateProject  int `env:"MEET_GOOGLE_QUOTA_MEET_CREATE_PROJECT" envDefault:"100" help:"spaces a minute that Google Meet lets the project create; only meetings without a calendar event take one"`
	MeetCreateUser     int `env:"MEET_GOOGLE_QUOTA_MEET_CREATE_USER" envDefault:"10" help:"spaces a minute that Google Meet lets each organizer create"`
	DriveProject       int `env:"MEET_GOOGLE_QUOTA_DRIVE_PROJECT" envDefault:"12000" help:"calls a minute that Google Drive allows the project"`
	DriveUser          int `env:"MEET_GOOGLE_QUOTA_DRIVE_USER" envDefault:"12000" help:"calls a minute that Google Drive allows each organizer"`
	EventsReadProject  int `env:"MEET_GOOGLE_QUOTA_EVENTS_READ_PROJECT" envDefault:"600" help:"reads a minute that Google Workspace Events allows the project"`
	EventsReadUser     int `env:"MEET_GOOGLE_QUOTA_EVENTS_READ_USER" envDefault:"100" help:"reads a minute that Google Workspace Events allows each organizer"`
	EventsWriteProject int `env:"MEET_GOOGLE_QUOTA_EVENTS_WRITE_PROJECT" envDefault:"600" help:"changes of subscriptions a minute that Google Workspace Events allows the project"`
	EventsWriteUser    int `env:"MEET_GOOGLE_QUOTA_EVENTS_WRITE_USER" envDefault:"100" help:"changes of subscriptions a minute that Google Workspace Events allows each organizer"`
	DirectoryProject   int `env:"MEET_GOOGLE_QUOTA_DIRECTORY_PROJECT" envDefault:"2400" help:"look-ups of people a minute that Google's directory allows the project"`
	DirectoryUser      int `env:"MEET_GOOGLE_QUOTA_DIRECTORY_USER" envDefault:"2400" help:"look-ups of people a minute that Google's directory allows each organizer"`
}

// The values of MEET_GOOGLE_QUOTAS.
const (
	ModeOn  = "on"
	ModeOff = "off"
)

// Enabled tells whether the limits hold.
func (c Config) Enabled(emulated bool) bool {
	return c.Mode == ModeOn || c.Mode == "" && !emulated
}

// Quota is what Google allows a minute.
type Quota struct{ Project, User int }

// Quotas are Google's, by class.
func (c Config) Quotas() map[job.Class]Quota {
	return map[job.Class]Quota{
		job.ClassCalendar:    {c.CalendarProject, c.CalendarUser},
		job.ClassMeetRead:    {c.MeetReadProject, c.MeetReadUser},
		job.ClassMeetWrite:   {c.MeetWriteProject, c.MeetWriteUser},
		job.ClassMeetCreate:  {c.MeetCreateProject, c.MeetCreateUser},
		job.ClassDrive:       {c.DriveProject, c.DriveUser},
		job.ClassEventsRead:  {c.EventsReadProject, c.EventsReadUser},
		job.ClassEventsWrite: {c.EventsWriteProject, c.EventsWriteUser},
		job.ClassDirectory:   {c.DirectoryProject, c.DirectoryUser},
	}
}

// share of a quota that we use: other programs of the project, and its people, want some too, and Google does not count to the
// millisecond as we do.
const share = 0.8

// smallest quota that leaves a whole call a minute.
const smallest = 2

// Check names the limits that would stop everything.
func (c Config) Check() error {
	var problems []error
	for _, v := range []struct {
		name  string
		value int
	}{
		{"CALENDAR_PROJECT", c.CalendarProject},
		{"CALENDAR_USER", c.CalendarUser},
		{"MEET_READ_PROJECT", c.MeetReadProject},
		{"MEET_READ_USER", c.MeetReadUser},
		{"MEET_WRITE_PROJECT", c.MeetWriteProject},
		{"MEET_WRITE_USER", c.MeetWriteUser},
		{"MEET_CREATE_PROJECT", c.MeetCreateProject},
		{"MEET_CREATE_USER", c.MeetCreateUser},
		{"DRIVE_PROJECT", c.DriveProject},
		{"DRIVE_USER", c.DriveUser},
		{"EVENTS_READ_PROJECT", c.EventsReadProject},
		{"EVENTS_READ_USER", c.EventsReadUser},
		{"EVENTS_WRITE_PROJECT", c.EventsWriteProject},
		{"EVENTS_WRITE_USER", c.EventsWriteUser},
		{"DIRECTORY_PROJECT", c.DirectoryProject},
		{"DIRECTORY_USER", c.DirectoryUser},
	} {
		if v.value < smallest {
			problems = append(problems, config.Bad("MEET_GOOGLE_QUOTA_"+v.name, fmt.Sprintf("%d a minute leaves no call", v.value),
				"write the number of the Google Cloud console (APIs & Services, the API, Quotas), or leave it out for Google's default"))
		}
	}
	return errors.Join(problems...)
}

// API is one of Google's, each with a breaker of its own.
type API string

// The APIs.
const (
	APICalendar API = "calendar"
	APIMeet     API = "meet"
	APIDrive    API = "drive"
	APIEvents   API = "events"
	// APIDirectory is the directory and what else tells who somebody is.
	APIDirectory API = "directory"
)

// apiOf is the API that a class is of; what is of none is counted with Calendar's, so that no call goes without a breaker.
func apiOf(c job.Class) API {
	switch c {
	case job.ClassMeetRead, job.ClassMeetWrite, job.ClassMeetCreate:
		return APIMeet
	case job.ClassDrive:
		return APIDrive
	case job.ClassEventsRead, job.ClassEventsWrite:
		return APIEvents
	case job.ClassDirectory:
		return APIDirectory
	case job.ClassCalendar:
	}
	return APICalendar
}
