// Package natsperm says what each part of the product may do in NATS, so that a part that is taken over can do no more than its
// own work: the gateway can bring no outcome, the scheduler can read nobody's replies, nobody can purge a stream. It is the one
// source of the users of the embedded server and of deploy/nats/nats.conf.
package natsperm

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// The users. A service's user is called as the service, and so are its inboxes.
const (
	Gateway   = "gateway"
	Meetings  = "meetings"
	Scheduler = "scheduler"
	// Observer is for people who look: it reads events as they happen and can send nothing.
	Observer = "observer"
)

// User is one user with all that it may do; what is not listed is refused.
type User struct {
	Name               string
	Publish, Subscribe []string
}

// Users are all of them.
func Users() []User {
	users := []User{gateway(), meetings(), scheduler(), {Name: Observer, Subscribe: []string{subject.OfEvent(">")}}}
	for _, u := range users {
		slices.Sort(u.Publish)
		slices.Sort(u.Subscribe)
	}
	return users
}

// Inbox is the prefix of a user's inboxes, which nobody else can read.
func Inbox(user string) string { return "_INBOX_" + user }

func inboxes(user string) string { return Inbox(user) + ".>" }

func gateway() User {
	return User{
		Name: Gateway,
		Publish: slices.Concat(
			asked(func(r access.Rule) bool {
				return r.Anyone || r.Admin != access.None || slices.Contains(r.Parts, access.Gateway)
			}),
			makesStreams(), bucket(subject.BucketLimits),
		),
		Subscribe: []string{inboxes(Gateway), subject.Done("*"), subject.GoogleState, subject.AccessChanged},
	}
}

func meetings() User {
	commands := subject.CommandConsumer()
	return User{
		Name: Meetings,
		Publish: slices.Concat(
			[]string{
				subject.OfEvent("*.*"), subject.OfJob("*", "*"), subject.Done("*"), subject.RelayWake, subject.AccessChanged,
				subject.Dead(subject.StreamCommands, ">"),
				inboxes(Gateway), inboxes(Scheduler), // replies to commands and queries
				// The relay compares two streams with Postgres, and the metrics show what all of them hold.
				api("STREAM.INFO", subject.StreamEvents), api("STREAM.INFO", subject.StreamJobs), api("STREAM.INFO", subject.StreamDead),
				// The relay looks for the last event, and for jobs whose message is gone.
				api("DIRECT.GET", subject.StreamEvents, ">"), api("DIRECT.GET", subject.StreamJobs),
			},
			makesStreams(), changesStreams(), consumes(subject.StreamCommands, commands), afterRestore(),
		),
		Subscribe: slices.Concat([]string{inboxes(Meetings), subject.RelayWake}, answers(subject.ServiceMeetings)),
	}
}

func scheduler() User {
	publish := slices.Concat(
		asked(func(r access.Rule) bool { return r.Anyone || slices.Contains(r.Parts, access.Internal) }),
		makesStreams(), bucket(subject.BucketQuota),
		[]string{
			subject.GoogleState, subject.SchedulerAlive,
			subject.Dead(subject.StreamJobs, ">"),
			inboxes(Gateway), // answers to queries
			// The doctor looks whether all is there.
			api("CONSUMER.INFO", subject.StreamCommands, subject.CommandConsumer().Durable),
		},
	)
	for _, s := range subject.Streams(1) {
		publish = append(publish, api("STREAM.INFO", s.Name))
	}
	for _, class := range subject.Classes() {
		publish = append(publish, consumes(subject.StreamJobs, subject.JobConsumer(class))...)
	}
	return User{
		Name: Scheduler, Publish: publish,
		Subscribe: slices.Concat(
			[]string{inboxes(Scheduler), subject.GoogleState, subject.SchedulerAlive}, answers(subject.ServiceScheduler),
		),
	}
}

// asked are the subjects of the commands and queries whose rule is so.
func asked(is func(access.Rule) bool) []string {
	var subjects []string
	for _, r := range access.Rules() {
		if !is(r) {
			continue
		}
		switch {
		case strings.Contains(r.Action, "."):
			subjects = append(subjects, subject.OfCommand(r.Action))
		case r.Action == subject.Diagnose.Method():
			subjects = append(subjects, string(subject.Diagnose))
		default:
			subjects = append(subjects, subject.OfQuery(subject.ServiceMeetings, r.Action))
		}
	}
	return subjects
}

// api is a subject of JetStream's API.
func api(parts ...string) string { return "$JS.API." + strings.Join(parts, ".") }

// makesStreams: whoever starts first makes the streams. Making one that is there changes nothing.
func makesStreams() []string {
	var subjects []string
	for _, s := range subject.Streams(1) {
		subjects = append(subjects, api("STREAM.CREATE", s.Name))
	}
	return subjects
}

// changesStreams brings streams that are there to what the code says. An update can also empty a stream: one service may.
func changesStreams() []string {
	var subjects []string
	for _, s := range subject.Streams(1) {
		subjects = append(subjects, api("STREAM.UPDATE", s.Name))
	}
	return subjects
}

// afterRestore empties the streams of what a restored database knows nothing of, once it has looked what that is and that nobody
// reads them. Work queues are deleted, since one that was emptied remembers for a while which jobs it had; MEET_EVENTS may have
// consumers of others and is emptied.
func afterRestore() []string {
	subjects := []string{
		api("STREAM.INFO", subject.StreamCommands),
		api("STREAM.DELETE", subject.StreamCommands), api("STREAM.DELETE", subject.StreamJobs), api("STREAM.PURGE", subject.StreamEvents),
		api("DIRECT.GET", subject.StreamEvents),
	}
	for _, class := range subject.Classes() {
		subjects = append(subjects, api("CONSUMER.INFO", subject.StreamJobs, subject.JobConsumer(class).Durable))
	}
	return subjects
}

// consumes is all that a durable needs: to be made with its own filter and no other, read and acknowledged.
func consumes(stream string, c jetstream.ConsumerConfig) []string {
	create := []string{"CONSUMER.CREATE", stream, c.Durable}
	if c.FilterSubject != "" {
		create = append(create, c.FilterSubject)
	}
	return []string{
		api(create...), api("CONSUMER.INFO", stream, c.Durable), api("CONSUMER.MSG.NEXT", stream, c.Durable),
		"$JS.ACK." + stream + "." + c.Durable + ".>",
	}
}

// bucket is all that a key-value bucket needs whose keys are read one by one and written.
func bucket(name string) []string {
	stream := "KV_" + name
	keys := "$KV." + name + ".>"
	return []string{
		api("INFO"), // the client library asks how much the account may store
		api("STREAM.CREATE", stream), api("STREAM.UPDATE", stream), api("STREAM.INFO", stream),
		api("DIRECT.GET", stream, keys), keys,
	}
}

// answers is what a NATS micro service listens to.
func answers(service string) []string {
	subjects := []string{subject.OfQuery(service, "*")}
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		subjects = append(subjects, "$SRV."+verb, "$SRV."+verb+"."+service, "$SRV."+verb+"."+service+".*")
	}
	return subjects
}
