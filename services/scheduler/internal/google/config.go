package google

import (
	"errors"
	"net/mail"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2/google"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// The values of MEET_GOOGLE.
const (
	ModeWorkspace = "workspace"
	ModeEmulator  = "emulator"
)

// Config of the Google adapter.
type Config struct {
	Mode        string        `env:"MEET_GOOGLE" oneof:"workspace emulator" help:"workspace: Google itself; emulator: the simulation at MEET_EMULATOR_URL, whose links open no meeting; absent: workspace where GOOGLE_SERVICE_ACCOUNT_FILE is set, else the emulator in development, and a refusal to start in production"`
	EmulatorURL string        `env:"MEET_EMULATOR_URL" help:"where the Google emulator is, such as http://127.0.0.1:8090; not used with MEET_GOOGLE=workspace"`
	KeyFile     string        `env:"GOOGLE_SERVICE_ACCOUNT_FILE" help:"path of the service account's key, the JSON file that the Google Cloud console gives out; needs domain-wide delegation in the admin console"`
	AdminEmail  string        `env:"GOOGLE_WORKSPACE_ADMIN_EMAIL" help:"the account in whose calendar meetings are kept when the organizer is of none of GOOGLE_WORKSPACE_DOMAINS; the organizer is then a guest; absent: such meetings are refused, but at the emulator, where neither this nor a domain is set, an admin of its own keeps them"`
	Domains     []string      `env:"GOOGLE_WORKSPACE_DOMAINS" help:"domains, separated by commas, whose organizers keep their meetings in their own calendars; absent: all meetings are in GOOGLE_WORKSPACE_ADMIN_EMAIL's calendar"`
	CalendarID  string        `env:"GOOGLE_CALENDAR_ID" envDefault:"primary" help:"the calendar that events are made in; primary: the main one of the account that keeps the meeting"`
	Timeout     time.Duration `env:"MEET_GOOGLE_TIMEOUT" envDefault:"60s" help:"of one call to Google, retries not counted; what a call did that ran out of it is looked up by the next try"`

	PublicURL string `env:"MEET_PUBLIC_URL" help:"https:// address at which Google reaches the gateway, to be told at once of changes in calendars; absent: they are read every MEET_DRIFT_EVERY"`

	Topic     string `env:"GOOGLE_PUBSUB_TOPIC" help:"the Pub/Sub topic that Google tells at once of conferences and recordings, projects/P/topics/T, in the service account's own project; absent or off: nothing is told, conferences are read every few minutes instead; the emulator has one of its own where it is absent"`
	Pull      string `env:"GOOGLE_PUBSUB_SUBSCRIPTION" help:"the Pub/Sub subscription to that topic that is pulled from, projects/P/subscriptions/S; goes with GOOGLE_PUBSUB_TOPIC"`
	Directory string `env:"GOOGLE_DIRECTORY" oneof:"on off" envDefault:"on" help:"on: the domain's directory is asked who a signed-in attendee is, which needs the scope admin.directory.user.readonly; off, or where it refuses: attendees are matched to the invited by name alone"`

	// EmulatorFrom gives the address of an emulator that is started with this program; it wins over EmulatorURL. Set by standalone.
	EmulatorFrom func() string `env:"-"`
}

// Emulated tells whether the far end is the emulator. development is what decides where MEET_GOOGLE and a key are absent.
func (c Config) Emulated(development bool) bool {
	switch c.Mode {
	case ModeEmulator:
		return true
	case ModeWorkspace:
		return false
	}
	return c.KeyFile == "" && development
}

// simulatedAdmin keeps the meetings at the emulator where neither an administrator nor a domain is named.
const simulatedAdmin = "admin@workspace.example"

// The values of GOOGLE_DIRECTORY, and of GOOGLE_PUBSUB_TOPIC and GOOGLE_PUBSUB_SUBSCRIPTION where no notices are wanted.
const (
	DirectoryOn  = "on"
	DirectoryOff = "off"
	noticesOff   = "off"
)

// The topic and the subscription that the emulator stands in with where none are set, in its own project.
const (
	simulatedTopic = "projects/meet-emulator/topics/meet-notices"
	simulatedPull  = "projects/meet-emulator/subscriptions/meet-notices"
)

// Completed fills in what the emulator alone can do without: as at Google, an organizer of no named domain is a guest in an
// administrator's calendar, and the emulator has one for whoever names none; and it has a topic for its notices.
func (c Config) Completed(development bool) Config {
	if c.Emulated(development) && c.AdminEmail == "" && len(c.Domains) == 0 {
		c.AdminEmail = simulatedAdmin
	}
	if c.Emulated(development) && c.Topic == "" && c.Pull == "" {
		c.Topic, c.Pull = simulatedTopic, simulatedPull
	}
	return c
}

// topic is where notices go; empty: nowhere.
func (c Config) topic() string { return wanted(c.Topic) }

// subscription is where notices are pulled from; empty: nowhere.
func (c Config) subscription() string { return wanted(c.Pull) }

// Notices gives the names of the topic and of the subscription that notices take; empty: none are wanted.
func (c Config) Notices() (topic, subscription string) { return c.topic(), c.subscription() }

func wanted(resource string) string {
	if resource == noticesOff {
		return ""
	}
	return resource
}

// simulatedQueue tells whether the emulator's own topic is used.
func (c Config) simulatedQueue() bool { return c.Topic == simulatedTopic && c.Pull == simulatedPull }

// The names of resources (Pub/Sub, Resource names).
var (
	topicShape = regexp.MustCompile(`^projects/[a-z][a-z0-9.:-]+/topics/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)
	pullShape  = regexp.MustCompile(`^projects/[a-z][a-z0-9.:-]+/subscriptions/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)
)

// emulatorURL is where the emulator is; known once the service starts.
func (c Config) emulatorURL() string {
	if c.EmulatorFrom != nil {
		return c.EmulatorFrom()
	}
	return c.EmulatorURL
}

// Check names the settings that are wrong whatever the others of the program are.
func (c Config) Check() error {
	var problems []error
	bad := func(variable, text, fix string) { problems = append(problems, config.Bad(variable, text, fix)) }
	if c.EmulatorURL != "" {
		if u, err := url.Parse(c.EmulatorURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			bad("MEET_EMULATOR_URL", "is no address", "use http://host:port")
		}
	}
	if c.AdminEmail != "" && !isAddress(c.AdminEmail) {
		bad("GOOGLE_WORKSPACE_ADMIN_EMAIL", "is no e-mail address", "use the address of a Workspace account with a Meet licence")
	}
	for _, domain := range c.Domains {
		if domain == "" || strings.ContainsAny(domain, "@/: ") || !strings.Contains(domain, ".") {
			bad("GOOGLE_WORKSPACE_DOMAINS", "has an entry that is no domain", "use names such as example.com, separated by commas")
			break
		}
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			bad("MEET_PUBLIC_URL", "is no address", "use https://meet.example.com")
		}
	}
	topic, pull := c.topic(), c.subscription()
	if topic != "" && !topicShape.MatchString(topic) {
		bad("GOOGLE_PUBSUB_TOPIC", "is no name of a topic", "use projects/PROJECT/topics/TOPIC, or leave it out for no notices")
	}
	if pull != "" && !pullShape.MatchString(pull) {
		bad("GOOGLE_PUBSUB_SUBSCRIPTION", "is no name of a subscription", "use projects/PROJECT/subscriptions/SUBSCRIPTION, or leave it out for no notices")
	}
	switch {
	case topic != "" && pull == "":
		bad("GOOGLE_PUBSUB_SUBSCRIPTION", "is not set while GOOGLE_PUBSUB_TOPIC is", "make a pull subscription to the topic and name it, or leave both out")
	case topic == "" && pull != "":
		bad("GOOGLE_PUBSUB_TOPIC", "is not set while GOOGLE_PUBSUB_SUBSCRIPTION is", "name the topic that the subscription is to, or leave both out")
	}
	if c.Timeout <= 0 {
		bad("MEET_GOOGLE_TIMEOUT", "is not above zero", "leave it out for 60s")
	}
	if c.Mode != ModeEmulator && c.KeyFile != "" {
		if err := readableKey(c.KeyFile); err != nil {
			bad("GOOGLE_SERVICE_ACCOUNT_FILE", err.Error(), "name the JSON key of a service account (IAM & Admin, Service accounts, Keys, Add key)")
		}
		if c.AdminEmail == "" && len(c.Domains) == 0 {
			bad("GOOGLE_WORKSPACE_ADMIN_EMAIL", "is not set, and neither is GOOGLE_WORKSPACE_DOMAINS", "set at least one: a service account alone can't make Meet links")
		}
	}
	if c.Mode == ModeWorkspace && c.KeyFile == "" {
		bad("GOOGLE_SERVICE_ACCOUNT_FILE", "is not set while MEET_GOOGLE is workspace", "name the JSON key of a service account, or use MEET_GOOGLE=emulator")
	}
	return errors.Join(problems...)
}

// CheckTarget names what is missing to reach any Google at all; development as for [Config.Emulated]. A program that starts an
// emulator of its own does not ask for its address.
func (c Config) CheckTarget(development, ownEmulator bool) error {
	emulated := c.Emulated(development)
	switch {
	case emulated && c.EmulatorURL == "" && !ownEmulator:
		return config.Bad("MEET_EMULATOR_URL", "is not set, and neither is GOOGLE_SERVICE_ACCOUNT_FILE",
			"set GOOGLE_SERVICE_ACCOUNT_FILE and GOOGLE_WORKSPACE_ADMIN_EMAIL or GOOGLE_WORKSPACE_DOMAINS for Google, or MEET_EMULATOR_URL for the emulator")
	case !emulated && c.KeyFile == "" && c.Mode == "":
		return config.Bad("GOOGLE_SERVICE_ACCOUNT_FILE", "is not set, and production does not run on the emulator unasked",
			"set it and GOOGLE_WORKSPACE_ADMIN_EMAIL or GOOGLE_WORKSPACE_DOMAINS, or ask for the emulator with MEET_GOOGLE=emulator and MEET_EMULATOR_URL")
	}
	return nil
}

// readableKey tells what is wrong with a key file, without its content.
func readableKey(path string) error {
	key, err := os.ReadFile(path)
	if err != nil {
		return errors.New("can't be read: " + pathError(err))
	}
	if _, err := google.JWTConfigFromJSON(key); err != nil {
		return errors.New("holds no service account's key")
	}
	return nil
}

func pathError(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}
