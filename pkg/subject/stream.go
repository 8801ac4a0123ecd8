package subject

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The streams.
const (
	StreamCommands = "MEET_COMMANDS"
	StreamEvents   = "MEET_EVENTS"
	StreamJobs     = "MEET_JOBS"
	StreamDead     = "MEET_DEAD"
)

// BucketQuota is the key-value bucket in the memory of NATS in which the schedulers share Google's quotas.
const BucketQuota = "meet_quota"

// BucketLimits is the one in which the gateways share how many requests each caller may still send.
const BucketLimits = "meet_limits"

const (
	day = 24 * time.Hour
	// dedupeWindow is how long JetStream remembers a Nats-Msg-Id. It saves work and is never relied on.
	dedupeWindow = 2 * time.Minute
	// maxMessage bounds one message; the widest is a meeting with 200 guests.
	maxMessage = 256 << 10
	// maxQueueBytes bounds a work queue; full means refused, never dropped.
	maxQueueBytes = 4 << 30
)

// Streams is the whole set, with the given number of replicas. They are made from here alone, by whichever service starts
// first, and again after every reconnect.
func Streams(replicas int) []jetstream.StreamConfig {
	streams := []jetstream.StreamConfig{
		{
			Name: StreamCommands, Description: "requests to change something", Subjects: []string{"meet.cmd.*.*"},
			Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: maxQueueBytes,
		},
		{
			Name: StreamEvents, Description: "what happened: CloudEvents 1.0, attributes in ce- headers", Subjects: []string{"meet.evt.*.*"},
			Retention: jetstream.LimitsPolicy, MaxAge: 30 * day, AllowDirect: true,
		},
		{
			Name: StreamJobs, Description: "due work", Subjects: []string{"meet.job.*.*"},
			Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxBytes: maxQueueBytes, AllowDirect: true,
		},
		{
			Name: StreamDead, Description: "messages that no handler could decode or that made it panic", Subjects: []string{"meet.dead.>"},
			Retention: jetstream.LimitsPolicy, MaxAge: 90 * day, AllowDirect: true,
		},
	}
	for i := range streams {
		streams[i].Storage, streams[i].Replicas = jetstream.FileStorage, replicas
		streams[i].Duplicates, streams[i].MaxMsgSize = dedupeWindow, maxMessage
	}
	return streams
}

// CommandConsumer is the one durable that every meetings instance pulls from.
func CommandConsumer() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: "meetings", Description: "every meetings instance pulls from this one",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Second, MaxDeliver: -1, MaxAckPending: 4096,
	}
}

// JobConsumer is the durable of one job class, shared by every scheduler instance. Handlers extend their lease while they work.
func JobConsumer(class string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: "scheduler-" + class, Description: "every scheduler instance pulls from this one",
		FilterSubject: "meet.job." + class + ".*",
		AckPolicy:     jetstream.AckExplicitPolicy, AckWait: 9 * time.Second, MaxDeliver: -1, MaxAckPending: 1024,
	}
}

// The job classes.
const (
	ClassGoogle = "google"
	// ClassObserve reads what happens at Google; apart from what changes it, so that nobody waits behind a reading.
	ClassObserve      = "observe"
	ClassWebhook      = "webhook"
	ClassMail         = "mail"
	ClassExport       = "export"
	ClassHousekeeping = "housekeeping"
)

// Classes are all job classes; each has a consumer of its own.
func Classes() []string {
	return []string{ClassGoogle, ClassObserve, ClassWebhook, ClassMail, ClassExport, ClassHousekeeping}
}
